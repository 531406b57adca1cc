import type { BroadcastGroup, Device, Store } from '@checkpoint-engine/interface';
import { decode, encode } from '@msgpack/msgpack';
import { exchange } from '../util/exchange.ts';
import type { BroadcastLinks } from './broadcast-links.ts';

/**
 * Sizes of broadcasts that make a library connect the GPUs and load its kernels, which it does at the first use. Small
 * and large broadcasts use different algorithms.
 */
const WARMUP_BYTES = [64 * 1024, 32 * 2 ** 20];

/** The inputs of {@link connectGroup}. */
export interface ConnectParts {
  readonly store: Store;
  readonly links: BroadcastLinks;
  readonly device: Device;
  /** Whether this rank expects updates that need the group. */
  readonly isWanted: () => Promise<boolean>;
}

/** A rank's contribution to the decision. */
interface Vote {
  /** Number of groups that it has seen. */
  readonly generation: number;
  readonly isWanted: boolean;
}

/** Creates the broadcast group of all ranks if all of them want it, and uses it once on a GPU. Called on all ranks. */
export async function connectGroup(
  { store, links, device, isWanted }: ConnectParts,
  waiting: { readonly timeoutMs: number; readonly signal: AbortSignal },
): Promise<void> {
  const { members } = store;
  if (members.length < 2 || !links.hasTransport) return;
  const vote = async (): Promise<Uint8Array> => {
    const own: Vote = { generation: links.generation, isWanted: await isWanted() };
    return encode(own);
  };
  const votes = (await exchange(store, 'connect', vote, waiting)).map((reply) => decode(reply) as Vote);
  if (!votes.every((one) => one.isWanted)) return;
  links.generation = Math.max(...votes.map(({ generation }) => generation)) + 1;
  const link = links.of(members);
  const group = await link.group(links.generation, waiting);
  if (device.supports.hostAddressable) return;
  try {
    await warmUp(group, members[0]!, device, waiting.signal);
  } catch (error) {
    await link.drop();
    throw error;
  }
}

async function warmUp(group: BroadcastGroup, root: number, device: Device, signal: AbortSignal): Promise<void> {
  const onAbort = (): void => group.abort(signal.reason as Error);
  signal.addEventListener('abort', onAbort, { once: true });
  const memory = await device.allocate(Math.max(...WARMUP_BYTES));
  try {
    for (const sizeBytes of WARMUP_BYTES)
      await group.broadcast(root, { target: { memory, offsetBytes: 0, sizeBytes } });
  } finally {
    memory.close();
    signal.removeEventListener('abort', onAbort);
  }
}
