import { withFile } from './read-file.ts';
import type { SafetensorsFile } from './safetensors-file.ts';
import { LENGTH_BYTES, parseSafetensorsHeader, readDataOffset } from './safetensors-header.ts';

/** Options of the functions that read files. */
export interface ReadHeaderOptions {
  readonly signal?: AbortSignal | undefined;
}

/**
 * Reads and checks the header of a safetensors file; the tensors' bytes are not touched.
 *
 * @throws `CE_FILE_NOT_FOUND`, `CE_FILE_UNREADABLE`, `CE_ABORTED`, and what {@link parseSafetensorsHeader} throws
 */
export async function readSafetensorsHeader(path: string, options: ReadHeaderOptions = {}): Promise<SafetensorsFile> {
  return withFile(path, options.signal, async (file) => {
    const source = { path, fileSizeBytes: file.sizeBytes };
    const length = await file.read(0, Math.min(LENGTH_BYTES, file.sizeBytes));
    return parseSafetensorsHeader(await file.read(0, readDataOffset(length, source)), source);
  });
}
