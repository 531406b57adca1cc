import {
  abortError,
  CheckpointEngineError,
  type OpenOptions,
  type P2PEndpoint,
  type P2PTransport,
} from '@checkpoint-engine/interface';
import { refuseOtherDevices } from '../memory/range-checks.ts';
import { ShmEndpoint } from './shm-endpoint.ts';

const defaultUnregisterTimeoutMs = 10_000;

/** Options of {@link shmP2P}. */
export interface ShmP2POptions {
  /**
   * Time for which withdrawing a range waits for pending reads. Those that take longer fail at their readers with
   * `CE_PEER_LOST`.
   * @default 10 s
   */
  readonly unregisterTimeoutMs?: number | undefined;
}

/**
 * Creates the P2P transport between processes of one host: readers copy directly from the owner's shared memory. The
 * owner's event loop answers one small message before each read, so that a reader cannot read a range that was
 * withdrawn.
 *
 * @example
 * const owner = await shmP2P().open({ device });
 * const { remote } = await owner.register({ memory, offsetBytes: 0, sizeBytes: memory.sizeBytes });
 * // and in another process, with the result of owner.address() and remote:
 * await reader.read(address, [{ remote, remoteOffsetBytes: 0, local }]);
 */
export function shmP2P(options: ShmP2POptions = {}): P2PTransport {
  return new ShmP2P(options);
}

class ShmP2P implements P2PTransport {
  readonly specVersion = 1;
  readonly name = 'shm';
  readonly supports = { registers: ['host'], readsInto: ['host'] } as const;
  readonly #unregisterTimeoutMs: number;
  readonly #endpoints = new Set<P2PEndpoint>();
  #closed = false;

  constructor({ unregisterTimeoutMs = defaultUnregisterTimeoutMs }: ShmP2POptions) {
    this.#unregisterTimeoutMs = unregisterTimeoutMs;
  }

  async open({ device, signal }: OpenOptions): Promise<P2PEndpoint> {
    if (this.#closed) {
      throw new CheckpointEngineError('CE_CLOSED', 'The transport is closed', 'Create a new one with shmP2P()');
    }
    if (signal?.aborted) throw abortError(signal, 'Opening the endpoint');
    refuseOtherDevices(device);
    const endpoint = await ShmEndpoint.open({
      device,
      unregisterTimeoutMs: this.#unregisterTimeoutMs,
      onClose: (closed) => this.#endpoints.delete(closed),
    });
    this.#endpoints.add(endpoint);
    return endpoint;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#endpoints].map((endpoint) => endpoint.close()));
  }
}
