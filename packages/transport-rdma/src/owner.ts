import { CheckpointEngineError, type MemoryRange, type Registration } from '@checkpoint-engine/interface';
import { ControlServer } from './control/control-server.ts';
import { formatKey, randomId } from './control/key.ts';
import { RangeTable } from './control/range-table.ts';
import { EngineProcess, EngineRefusal } from './engine/engine-process.ts';
import { Segments } from './engine/segments.ts';
import type { Backing } from './memory/backing.ts';
import type { RdmaSettings } from './options.ts';
import { controlPorts, type EngineSettings } from './settings.ts';

interface Identity {
  readonly incarnation: string;
  readonly secret: string;
}

/** The serving half of an endpoint: an engine that peers read from, and its control channel. */
export class Owner {
  readonly #engine: EngineProcess;
  readonly #control: ControlServer;
  readonly #segments: Segments;
  readonly #ranges: RangeTable;
  readonly #identity: Identity;
  readonly #drainTimeoutMs: number;
  readonly #registrations = new Set<Registration>();

  private constructor(
    engine: EngineProcess,
    control: ControlServer,
    ranges: RangeTable,
    identity: Identity,
    { pinsMemory }: EngineSettings,
    drainTimeoutMs: number,
  ) {
    this.#engine = engine;
    this.#control = control;
    this.#ranges = ranges;
    this.#identity = identity;
    this.#drainTimeoutMs = drainTimeoutMs;
    // Mooncake lets every peer write to registered memory. Over TCP the read-only mapping prevents it.
    this.#segments = new Segments(engine, { share: true, writable: pinsMemory });
    void engine.exited.then(() => ranges.clear());
  }

  /** @throws `CE_ADDRESS_IN_USE`, `CE_CONFIG_INVALID`, `CE_LIBRARY_NOT_FOUND`, `CE_TRANSPORT_FAILED` */
  static async open(engineSettings: EngineSettings, settings: RdmaSettings): Promise<Owner> {
    const { host, ports, token, drainTimeoutMs } = settings;
    const identity = { incarnation: randomId(), secret: randomId() };
    const ranges = new RangeTable();
    const control = await ControlServer.listen({ host, ports: controlPorts(ports), token, ranges, ...identity });
    try {
      const engine = await EngineProcess.start(engineSettings);
      control.address = engine.address;
      return new Owner(engine, control, ranges, identity, engineSettings, drainTimeoutMs);
    } catch (error) {
      await control.close();
      throw error;
    }
  }

  get address(): string {
    return this.#engine.address;
  }

  /**
   * Lets peers read a range.
   *
   * @param backing The file behind the range's memory.
   * @throws `CE_TRANSPORT_FAILED` when the engine refuses it.
   */
  async register(range: MemoryRange, backing: Backing): Promise<Registration> {
    const segment = await this.#segments.acquire(backing).catch((error: Error) => {
      throw refusal(error, backing.size, this.#engine.log);
    });
    const address = String(BigInt(segment.address) + BigInt(range.offsetBytes));
    const { number } = this.#ranges.add(address, range.sizeBytes);
    const key = formatKey({ ...this.#identity, port: this.#control.port, range: number });
    let closing: Promise<void> | undefined;
    const close = async (): Promise<void> => {
      await this.#ranges.remove(number, this.#drainTimeoutMs);
      // If the engine cannot unregister it, it ends with the process; no lease on it is granted any more.
      await this.#segments.release(backing).catch(() => {});
      this.#registrations.delete(registration);
    };
    const registration: Registration = {
      remote: { address, sizeBytes: range.sizeBytes, key },
      close: () => {
        closing ??= close();
        return closing;
      },
    };
    this.#registrations.add(registration);
    return registration;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#registrations].map((registration) => registration.close()));
    this.#segments.close();
    await Promise.all([this.#control.close(), this.#engine.close()]);
  }
}

function refusal(error: Error, sizeBytes: number, log: string): Error {
  const refused = error instanceof EngineRefusal;
  return new CheckpointEngineError(
    'CE_TRANSPORT_FAILED',
    `Mooncake cannot register ${sizeBytes} bytes of memory: ${error.message}`,
    refused
      ? 'Check its log; RDMA needs memory that may be locked (ulimit -l unlimited) and devices that can access it'
      : 'Open the transport again, and check the log of the engine',
    { op: 'register', status: refused ? error.status : undefined, detail: log || undefined, cause: error },
  );
}
