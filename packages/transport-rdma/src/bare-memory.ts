import type { RemoteMemory } from '@checkpoint-engine/interface';
import { bareKey } from './control/key.ts';

/**
 * Memory that another program registered with Mooncake, such as a Python `TransferEngine`, as an endpoint reads it. There
 * is no control channel to ask: that the memory is still what it was is between you and its owner.
 *
 * @param address Address in the owner's process.
 */
export function bareMemory(address: bigint, sizeBytes: number): RemoteMemory {
  return { address: String(address), sizeBytes, key: bareKey };
}
