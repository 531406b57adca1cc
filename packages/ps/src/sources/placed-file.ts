import type { Device, FileMemory, FileState } from '@checkpoint-engine/interface';
import { type CheckpointFile, changedFile, changeOf } from '@checkpoint-engine/meta';

/** A checkpoint's file on `/dev/shm` whose pages are the pool: an update sends the current content of the file. */
export class PlacedFile {
  readonly path: string;
  readonly memory: FileMemory;
  #state: FileState;

  private constructor(path: string, memory: FileMemory, state: FileState) {
    this.path = path;
    this.memory = memory;
    this.#state = state;
  }

  /** Maps and pins the file whose header was read. Releases everything before it rejects. @throws `CE_FILE_*` */
  static async open(device: Device, { path, state }: Pick<CheckpointFile, 'path' | 'state'>): Promise<PlacedFile> {
    const memory = await device.mapFile(path);
    try {
      const file = new PlacedFile(path, memory, state);
      await file.checkUnchanged();
      await memory.pin();
      return file;
    } catch (error) {
      memory.close();
      throw error;
    }
  }

  /**
   * Checks the mapped file, which may have lost its name.
   *
   * @throws `CE_FILE_CHANGED`, `CE_FILE_UNREADABLE`
   */
  async checkUnchanged(): Promise<void> {
    const now = await this.memory.fileState();
    const before = this.#state;
    // Adding or removing a name changes only the ctime.
    const change = changeOf(now.links === before.links ? before : { ...before, changedNs: now.changedNs }, now);
    if (change !== undefined) throw changedFile(this.path, change);
    this.#state = now;
  }
}
