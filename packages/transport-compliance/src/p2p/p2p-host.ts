import type {
  Device,
  P2PEndpoint,
  P2PTransport,
  Registration,
  RemoteMemory,
  Store,
} from '@checkpoint-engine/interface';
import type { Slice } from '../buffers.ts';
import { MemberHost } from '../world/member-host.ts';
import { LoopWatch } from './loop-watch.ts';
import type { P2PManifest, P2PMember, ReadArguments } from './p2p-member.ts';

/** A member that owns and reads remote memory, in the process where it runs. */
export class P2PHost extends MemberHost implements P2PMember {
  readonly #transport: P2PTransport;
  readonly #endpoints = new Map<string, P2PEndpoint>();
  readonly #registrations = new Map<string, Registration>();
  #loopWatch: LoopWatch | undefined;

  constructor(device: Device, store: Store, transport: P2PTransport) {
    super(device, store);
    this.#transport = transport;
  }

  async manifest(): Promise<P2PManifest> {
    const { specVersion, name, supports } = this.#transport;
    return { specVersion, name, supports };
  }

  async open({ endpoint }: { endpoint: string }): Promise<string> {
    const opened = await this.#transport.open({ device: this.device });
    this.#endpoints.set(endpoint, opened);
    return await opened.address();
  }

  async address({ endpoint }: { endpoint: string }): Promise<string> {
    return await this.#endpoint(endpoint).address();
  }

  async closeEndpoint({ endpoint }: { endpoint: string }): Promise<void> {
    await this.#endpoint(endpoint).close();
  }

  async register(args: { endpoint: string; range: Slice; as: string }): Promise<RemoteMemory> {
    const registration = await this.#endpoint(args.endpoint).register(this.buffers.range(args.range));
    this.#registrations.set(args.as, registration);
    return registration.remote;
  }

  async unregister({ as }: { as: string }): Promise<void> {
    await this.#registrations.get(as)?.close();
  }

  async churn(args: { endpoint: string; range: Slice; times: number }): Promise<void> {
    const range = this.buffers.range(args.range);
    for (let i = 0; i < args.times; i++) await (await this.#endpoint(args.endpoint).register(range)).close();
  }

  async read({ endpoint, peer, reads, timeoutMs, aborted, times = 1 }: ReadArguments): Promise<void> {
    const local = reads.map((read) => ({ ...read, local: this.buffers.range(read.local) }));
    const signal = aborted ? AbortSignal.abort() : undefined;
    for (let i = 0; i < times; i++) await this.#endpoint(endpoint).read(peer, local, { timeoutMs, signal });
  }

  async watchLoop(): Promise<void> {
    this.#loopWatch?.stop();
    this.#loopWatch = new LoopWatch();
  }

  async longestLoopMs(): Promise<number> {
    return this.#loopWatch?.stop() ?? 0;
  }

  async closeTransport(): Promise<void> {
    await this.#transport.close();
  }

  protected async closeAll(): Promise<void> {
    this.#loopWatch?.stop();
    await Promise.all([...this.#registrations.values()].map((registration) => registration.close()));
    this.#registrations.clear();
    await Promise.all([...this.#endpoints.values()].map((endpoint) => endpoint.close()));
    this.#endpoints.clear();
  }

  #endpoint(name: string): P2PEndpoint {
    const endpoint = this.#endpoints.get(name);
    if (endpoint === undefined) throw new TypeError(`Unknown endpoint "${name}"`);
    return endpoint;
  }
}
