import type { BroadcastGroup, Device, Store } from '@checkpoint-engine/interface';
import { decode, encode } from '@msgpack/msgpack';
import { exchange } from '../util/exchange.ts';
import type { BroadcastLinks } from './broadcast-links.ts';

/**
 * Sizes of broadcasts that make a library connect the GPUs and load its kernels, which it puts off until they are used:
 * small and large ones take different ways.
 */
const WARMUP_BYTES = [64 * 1024, 32 * 2 ** 20];

/** What {@link connectGroup} works with. */
export interface ConnectParts {
  readonly store: Store;
  readonly links: BroadcastLinks;
  readonly device: Device;
}

/** Makes the broadcast group of all ranks, and uses it once on a GPU. Called on all ranks. */
export async function connectGroup(
  { store, links, device }: ConnectParts,
  waiting: { readonly timeoutMs: number; readonly signal: AbortSignal },
): Promise<void> {
  const { members } = store;
  if (members.length < 2 || !links.hasTransport) return;
  const replies = await exchange(store, 'connect', () => encode(links.generation), waiting);
  links.generation = Math.max(...replies.map((reply) => decode(reply) as number)) + 1;
  const link = links.of(members);
  const group = await link.group(links.generation, waiting);
  if (device.kind !== 'cuda') return;
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
