import type { BigIntStats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { CheckpointEngineError, type FileState } from '@checkpoint-engine/interface';
import { type CheckpointFile, changedFile, changeOf, fileStateOf } from '@checkpoint-engine/meta';

/** A checkpoint's file that is read by its name and must be unchanged since its header was read. */
export class StreamedFile {
  readonly path: string;
  readonly sizeBytes: number;
  #state: FileState;
  #wasMissing = false;

  constructor({ path, sizeBytes, state }: Pick<CheckpointFile, 'path' | 'sizeBytes' | 'state'>) {
    this.path = path;
    this.sizeBytes = sizeBytes;
    this.#state = state;
  }

  /** @throws `CE_FILE_CHANGED`, `CE_FILE_NOT_FOUND`, `CE_FILE_UNREADABLE` */
  async checkUnchanged(): Promise<void> {
    const now = fileStateOf(await this.#stat());
    // Moving a file away and back changes only its ctime.
    const before = this.#wasMissing ? { ...this.#state, changedNs: now.changedNs } : this.#state;
    const change = changeOf(before, now);
    if (change !== undefined) throw changedFile(this.path, change);
    this.#wasMissing = false;
    this.#state = now;
  }

  async #stat(): Promise<BigIntStats> {
    try {
      return await statFile(this.path);
    } catch (error) {
      this.#wasMissing ||= CheckpointEngineError.isInstance(error) && error.code === 'CE_FILE_NOT_FOUND';
      throw error;
    }
  }
}

async function statFile(path: string): Promise<BigIntStats> {
  try {
    return await stat(path, { bigint: true });
  } catch (cause) {
    const { code, errno, message } = cause as NodeJS.ErrnoException;
    const details = { file: path, op: 'stat', status: Math.abs(errno ?? 0), cause };
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      const hint = 'Keep the files of a checkpoint until its update has ended';
      throw new CheckpointEngineError('CE_FILE_NOT_FOUND', `Cannot find ${path}`, hint, details);
    }
    const hint = 'Check the file system and its log';
    throw new CheckpointEngineError('CE_FILE_UNREADABLE', `Cannot read ${path}: ${message}`, hint, details);
  }
}
