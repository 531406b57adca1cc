import { createHash } from 'node:crypto';
import { invalidFile } from './file-errors.ts';
import { FORMAT_PROBE_BYTES, foreignFormat } from './foreign-format.ts';
import { withFile } from './read-file.ts';
import type { CheckpointFile } from './safetensors-file.ts';
import { parseSafetensorsHeader, readDataOffset } from './safetensors-header.ts';

/** Options of the functions that read files. */
export interface ReadHeaderOptions {
  readonly signal?: AbortSignal | undefined;
}

/**
 * Reads and checks the header of a safetensors file, without reading tensor bytes.
 *
 * @throws `CE_FILE_NOT_FOUND`, `CE_FILE_UNREADABLE`, `CE_ABORTED`, and the errors of {@link parseSafetensorsHeader}
 */
export async function readSafetensorsHeader(path: string, options: ReadHeaderOptions = {}): Promise<CheckpointFile> {
  return withFile(path, options.signal, async (file) => {
    const source = { path, fileSizeBytes: file.sizeBytes };
    const begin = await file.read(0, Math.min(FORMAT_PROBE_BYTES, file.sizeBytes));
    const foreign = foreignFormat(begin, path);
    if (foreign !== undefined) throw invalidFile(path, foreign.what, { hint: foreign.hint });
    const bytes = await file.read(0, readDataOffset(begin, source));
    const headerDigest = createHash('sha256').update(bytes).digest('base64url');
    return { ...parseSafetensorsHeader(bytes, source), state: file.state, headerDigest };
  });
}
