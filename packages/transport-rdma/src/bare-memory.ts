import type { RemoteMemory } from '@checkpoint-engine/interface';
import { bareKey } from './control/key.ts';

/**
 * Describes memory that another program registered with Mooncake, such as a Python `TransferEngine`, so that an
 * endpoint can read it. There is no control channel for such memory: you and its owner must ensure that it stays
 * registered and unchanged.
 *
 * @param address Address in the owner's process.
 */
export function bareMemory(address: bigint, sizeBytes: number): RemoteMemory {
  return { address: String(address), sizeBytes, key: bareKey };
}
