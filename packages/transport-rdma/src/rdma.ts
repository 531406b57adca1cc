import { abortError, CheckpointEngineError, type OpenOptions, type P2PTransport } from '@checkpoint-engine/interface';
import { checkHost } from './control/control-server.ts';
import { findPython } from './engine/find-python.ts';
import { closed } from './errors.ts';
import { type RdmaOptions, resolveOptions } from './options.ts';
import { RdmaEndpoint } from './rdma-endpoint.ts';
import { engineSettings } from './settings.ts';

/** {@link P2PTransport} over Mooncake. */
export interface RdmaTransport extends P2PTransport {
  /**
   * Finds Mooncake and checks that everything requested is available. Does not start an engine.
   *
   * @throws `CE_LIBRARY_NOT_FOUND` if there is no Mooncake, `CE_LIBRARY_TOO_OLD`, `CE_DEVICE_UNAVAILABLE`,
   *   `CE_CONFIG_INVALID` if `host` is not an address of this machine.
   */
  open(options: OpenOptions): Promise<RdmaEndpoint>;
}

/**
 * P2P reads between hosts through the Mooncake Transfer Engine, which runs in separate processes: its hangs and
 * crashes end with them. The processes map the same memory, so no byte is copied for them. Therefore memory must be
 * shared memory of the host: `allocateHost(sizeBytes, { shared: true })`, or a file in `/dev/shm` that a GPU's device
 * maps in place.
 *
 * An endpoint starts the serving engine with its first registration or the first call of `address`, and another engine
 * with its first read.
 *
 * @throws {TypeError} @throws {RangeError} An option is invalid.
 * @example
 * ```ts
 * const endpoint = await rdma({ host: '10.0.0.7' }).open({ device });
 * const { remote } = await endpoint.register({ memory: pool, offsetBytes: 0, sizeBytes: pool.sizeBytes });
 * ```
 */
export function rdma(options: RdmaOptions = {}): RdmaTransport {
  const settings = resolveOptions(options);
  const opening = new Set<Promise<RdmaEndpoint>>();
  let isClosed = false;

  async function open(signal: AbortSignal | undefined): Promise<RdmaEndpoint> {
    if (signal?.aborted) throw abortError(signal, 'open');
    const wanted = engineSettings(settings);
    await checkHost(settings.host);
    const { python, efa } = await findPython(settings.python);
    if (wanted.protocol === 'efa' && !efa) throw noEfa(python);
    const endpoint = new RdmaEndpoint({ ...wanted, python }, settings);
    if (!isClosed && !signal?.aborted) return endpoint;
    await endpoint.close();
    throw signal?.aborted ? abortError(signal, 'open') : closed('transport');
  }

  return {
    specVersion: 1,
    name: 'rdma',
    supports: { registers: ['host'], readsInto: ['host'] },
    async open({ signal }) {
      if (isClosed) throw closed('transport');
      const opened = open(signal);
      opening.add(opened);
      opened.catch(() => opening.delete(opened));
      return await opened;
    },
    async close() {
      isClosed = true;
      await Promise.all([...opening].map(async (opened) => (await opened.catch(() => undefined))?.close()));
    },
  };
}

function noEfa(python: string): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_NOT_SUPPORTED',
    `The Mooncake of ${python} was built without support for Elastic Fabric Adapters`,
    'Install mooncake-transfer-engine-efa instead, or use protocol "tcp"',
    { op: 'open' },
  );
}
