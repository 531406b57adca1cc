import { stat } from 'node:fs/promises';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import type { SafetensorsFile } from '@checkpoint-engine/meta';

/** A checkpoint's file that stays on its disk until an update reads it, as it was when its header was read. */
export class StreamedFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly #modifiedNs: bigint;

  private constructor(path: string, sizeBytes: number, modifiedNs: bigint) {
    this.path = path;
    this.sizeBytes = sizeBytes;
    this.#modifiedNs = modifiedNs;
  }

  /** Remembers the file as it is now. @throws as {@link StreamedFile.checkUnchanged} */
  static async observe({ path, sizeBytes }: Pick<SafetensorsFile, 'path' | 'sizeBytes'>): Promise<StreamedFile> {
    const { mtimeNs } = await statFile(path);
    const file = new StreamedFile(path, sizeBytes, mtimeNs);
    await file.checkUnchanged();
    return file;
  }

  /** @throws `CE_FILE_CHANGED`, `CE_FILE_NOT_FOUND`, `CE_FILE_UNREADABLE` */
  async checkUnchanged(): Promise<void> {
    const { size, mtimeNs } = await statFile(this.path);
    if (Number(size) === this.sizeBytes && mtimeNs === this.#modifiedNs) return;
    throw new CheckpointEngineError(
      'CE_FILE_CHANGED',
      `${this.path} was changed after it was registered: it had ${this.sizeBytes} bytes and has ${size}, written at ${time(this.#modifiedNs)} and at ${time(mtimeNs)}`,
      'Write new weights into a new folder, and register the files once they are complete',
      { file: this.path },
    );
  }
}

async function statFile(path: string): Promise<{ size: bigint; mtimeNs: bigint }> {
  try {
    return await stat(path, { bigint: true });
  } catch (cause) {
    const { code, errno, message } = cause as NodeJS.ErrnoException;
    const details = { file: path, op: 'stat', status: Math.abs(errno ?? 0), cause };
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      const hint = 'Keep the files of a checkpoint until its update is over';
      throw new CheckpointEngineError('CE_FILE_NOT_FOUND', `Cannot find ${path}`, hint, details);
    }
    const hint = 'Check the file system and its log';
    throw new CheckpointEngineError('CE_FILE_UNREADABLE', `Cannot read ${path}: ${message}`, hint, details);
  }
}

const time = (ns: bigint): string => new Date(Number(ns / 1_000_000n)).toISOString();
