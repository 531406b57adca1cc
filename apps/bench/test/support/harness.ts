import { EngineProcess } from '@checkpoint-engine/bench/world/engine-process';
import { CheckpointEngineError, type Device } from '@checkpoint-engine/interface';
import { localStore, ParameterServer, type UpdateOptions, v1Protocol, vllmEngine } from '@checkpoint-engine/ps';

/** One server, one engine and one checkpoint: the start of each check. */
export class Harness {
  readonly device: Device;
  readonly folder: string;
  readonly server: ParameterServer;
  engine: EngineProcess;
  readonly #python: string;

  private constructor(device: Device, folder: string, python: string, server: ParameterServer, engine: EngineProcess) {
    this.device = device;
    this.folder = folder;
    this.#python = python;
    this.server = server;
    this.engine = engine;
  }

  static async start(device: Device, folder: string, python: string, args: readonly string[] = []): Promise<Harness> {
    const engine = await EngineProcess.start(python, 0, args);
    const server = await ParameterServer.create({ store: localStore(), device, protocol: v1Protocol() });
    await server.registerCheckpoint('weights', { files: folder, keepFiles: true });
    await server.gatherMetas('weights');
    return new Harness(device, folder, python, server, engine);
  }

  update(options: Partial<UpdateOptions> = {}): Promise<unknown> {
    const client = vllmEngine({ endpoints: [{ url: this.engine.endpoint }] });
    return this.server.update('weights', {
      requestEngine: (request) => client.update(request),
      bucketBytes: 16 * 2 ** 20,
      timeoutMs: 20_000,
      ...options,
    });
  }

  /** Runs an update that must fail within a time. Resolves with its error. */
  async failure(withinMs: number, options: Partial<UpdateOptions> = {}): Promise<CheckpointEngineError> {
    const startedAtMs = performance.now();
    const error = await this.update(options).then(
      () => {
        throw new Error('the update did not fail');
      },
      (reason: unknown) => reason,
    );
    const tookMs = performance.now() - startedAtMs;
    if (!CheckpointEngineError.isInstance(error)) throw error;
    if (tookMs > withinMs) throw new Error(`${error.code} took ${tookMs.toFixed(0)} ms, more than ${withinMs} ms`);
    return error;
  }

  /** The next update works and every byte in the engine is right. */
  async works(): Promise<void> {
    await this.engine.plantFault({});
    await this.update();
    const { wrong, tensors } = await this.engine.verify(this.folder);
    if (wrong !== 0) throw new Error(`${wrong} of ${tensors} tensors are wrong`);
  }

  async restartEngine(): Promise<void> {
    await this.engine.stop();
    this.engine = await EngineProcess.start(this.#python);
  }

  async end(): Promise<void> {
    await this.server.close();
    await this.engine.stop();
  }
}
