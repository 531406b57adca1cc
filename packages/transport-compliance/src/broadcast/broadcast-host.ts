import {
  type BroadcastGroup,
  type BroadcastTransport,
  CheckpointEngineError,
  type Device,
  type SerializedError,
  type Store,
} from '@checkpoint-engine/interface';
import type { Slice } from '../buffers.ts';
import type { Pattern } from '../pattern.ts';
import { MemberHost } from '../world/member-host.ts';
import type { BroadcastManifest, BroadcastMember, JoinArguments } from './broadcast-member.ts';

/** A member of broadcast groups, in the process where it runs. */
export class BroadcastHost extends MemberHost implements BroadcastMember {
  readonly #transport: BroadcastTransport;
  readonly #groups = new Map<string, BroadcastGroup>();
  readonly #scopes: Store[] = [];

  constructor(device: Device, store: Store, transport: BroadcastTransport) {
    super(device, store);
    this.#transport = transport;
  }

  async manifest(): Promise<BroadcastManifest> {
    const { specVersion, name, supports } = this.#transport;
    return { specVersion, name, supports };
  }

  async join({ group, members, timeoutMs, abortAfterMs }: JoinArguments): Promise<readonly number[]> {
    const store = this.store.epoch(group, members);
    this.#scopes.push(store);
    const abort = new AbortController();
    const timer = abortAfterMs === undefined ? undefined : setTimeout(() => abort.abort(), abortAfterMs);
    try {
      const joined = await this.#transport.join({ store, device: this.device, timeoutMs, signal: abort.signal });
      this.#groups.set(group, joined);
      return joined.members;
    } finally {
      clearTimeout(timer);
    }
  }

  async broadcast(args: { group: string; root: number; target: Slice; source?: Slice | undefined }): Promise<void> {
    await this.#group(args.group).broadcast(args.root, {
      target: this.buffers.range(args.target),
      source: args.source && this.buffers.range(args.source),
    });
  }

  async handleOf({ buffer }: { buffer: string }): Promise<readonly number[]> {
    return [...this.buffers.handleOf(buffer)];
  }

  async open(args: { buffer: string; handle: readonly number[]; sizeBytes: number }): Promise<void> {
    await this.buffers.open({ ...args, handle: Uint8Array.from(args.handle) });
  }

  async broadcastShared(args: {
    group: string;
    root: number;
    target: Slice;
    pattern?: Pattern | undefined;
    failure?: string | undefined;
  }): Promise<void> {
    const { target, pattern, failure } = args;
    const { buffer, offsetBytes, sizeBytes } = target;
    const fill = async (): Promise<void> => {
      if (failure !== undefined) throw new Error(failure);
      const contents = pattern && [{ offsetBytes, sizeBytes, pattern }];
      await this.buffers.fill({ buffer, contents, fromBytes: offsetBytes, toBytes: offsetBytes + sizeBytes });
    };
    await this.#group(args.group).broadcastShared(args.root, {
      target: this.buffers.range(target),
      fill: args.root === this.store.rank ? fill : undefined,
    });
  }

  async repeat(args: { group: string; roots: readonly number[]; target: Slice; times: number }): Promise<void> {
    const group = this.#group(args.group);
    const target = this.buffers.range(args.target);
    for (let i = 0; i < args.times; i++) await group.broadcast(args.roots[i % args.roots.length]!, { target });
  }

  async abort({ group, reason }: { group: string; reason: SerializedError }): Promise<void> {
    this.#group(group).abort(CheckpointEngineError.fromJSON(reason));
  }

  async leave({ group }: { group: string }): Promise<void> {
    await this.#group(group).close();
  }

  async closeTransport(): Promise<void> {
    await this.#transport.close();
  }

  protected async closeAll(): Promise<void> {
    await Promise.all([...this.#groups.values()].map((group) => group.close()));
    this.#groups.clear();
    await Promise.all(this.#scopes.splice(0).map((scope) => scope.close()));
  }

  #group(name: string): BroadcastGroup {
    const group = this.#groups.get(name);
    if (group === undefined) throw new TypeError(`Unknown group "${name}"`);
    return group;
  }
}
