import type { Backing } from '../memory/backing.ts';
import { type Piece, planWaves, type WaveLimits } from '../plan-waves.ts';
import type { EngineSettings } from '../settings.ts';
import { EngineEnded, EngineProcess } from './engine-process.ts';
import { Segments } from './segments.ts';

/** The pieces to read: `segment` of a piece is an index into `memories`. */
export interface ReadJob {
  readonly peer: string;
  readonly memories: readonly Backing[];
  readonly pieces: readonly Piece[];
}

interface Opened {
  readonly engine: EngineProcess;
  readonly segments: Segments;
}

/**
 * Time to keep a mapping for the next read into the same memory: a new mapping costs a page fault per
 * 4 KiB, which can take longer than the read.
 */
const lingerMs = 5000;
/** Time for an aborted read to end by itself. */
const cancelMs = 300;
/** Number of times that a read restarts because another one ended the engine. */
const maxStarts = 4;

/**
 * The engine that this process uses for reads. The first read starts it. A read that fails, or that is aborted and
 * does not end, ends the engine: only then is it certain that no late byte arrives in memory that its owner
 * already uses for another purpose. Other reads of that engine start again on a new one.
 */
export class Reader {
  readonly #settings: EngineSettings;
  readonly #limits: WaveLimits;
  #current: Promise<Opened> | undefined;
  #closed = false;

  constructor(settings: EngineSettings, limits: WaveLimits) {
    this.#settings = settings;
    this.#limits = limits;
  }

  /**
   * Reads all of a job, or fails. When the promise settles, nothing writes to the memories any more.
   *
   * @throws The signal's reason.
   * @throws {EngineRefusal} The transfer failed.
   * @throws {EngineEnded}
   */
  async read(job: ReadJob, signal: AbortSignal): Promise<void> {
    for (let start = 1; ; start++) {
      signal.throwIfAborted();
      const opened = await this.#open();
      try {
        return await this.#readWith(opened, job, signal);
      } catch (error) {
        const innocent = error instanceof EngineEnded && !signal.aborted && !this.#closed;
        if (!innocent || start === maxStarts) throw error;
      }
    }
  }

  /** Ends the engine, and with it all pending reads. */
  async close(): Promise<void> {
    this.#closed = true;
    const current = await this.#current?.catch(() => undefined);
    current?.segments.close();
    await current?.engine.close();
  }

  async #readWith({ engine, segments }: Opened, job: ReadJob, signal: AbortSignal): Promise<void> {
    const mapped: Backing[] = [];
    try {
      const numbers: number[] = [];
      for (const backing of job.memories) {
        numbers.push((await segments.acquire(backing)).segment);
        mapped.push(backing);
      }
      signal.throwIfAborted();
      const waves = planWaves(job.pieces, this.#limits).map((wave) =>
        wave.map(({ segment, offset, remoteAddress, size }) => [numbers[segment], offset, String(remoteAddress), size]),
      );
      await transfer(engine, { peer: job.peer, waves }, signal);
    } finally {
      for (const backing of mapped) await segments.release(backing).catch(() => {});
    }
  }

  async #open(): Promise<Opened> {
    for (;;) {
      if (this.#closed) throw new EngineEnded('The reader is closed');
      this.#current ??= this.#start();
      const current = this.#current;
      const opened = await current.catch((error: unknown) => {
        this.#forget(current);
        throw error;
      });
      if (!opened.engine.ended) return opened;
      this.#forget(current);
    }
  }

  #forget(opened: Promise<Opened>): void {
    if (this.#current === opened) this.#current = undefined;
  }

  async #start(): Promise<Opened> {
    const engine = await EngineProcess.start(this.#settings);
    const segments = new Segments(engine, { share: this.#settings.pinsMemory, writable: true, lingerMs });
    void engine.exited.then(() => segments.close());
    return { engine, segments };
  }
}

/** Runs the waves of a read. The engine is gone afterwards, unless the read succeeded or stopped between two waves. */
async function transfer(engine: EngineProcess, args: object, signal: AbortSignal): Promise<void> {
  const { id, answer } = engine.request<{ cancelled: boolean }>('read', args);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const giveUp = (): void => {
    engine.cancel(id);
    timer = setTimeout(() => void engine.kill(), cancelMs);
  };
  signal.addEventListener('abort', giveUp, { once: true });
  try {
    if ((await answer).cancelled) signal.throwIfAborted();
  } catch (error) {
    if (error !== signal.reason) await engine.kill();
    throw signal.aborted ? signal.reason : error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', giveUp);
  }
}
