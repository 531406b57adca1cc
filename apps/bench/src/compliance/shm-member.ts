// What each member of the compliance suite over shared memory is made of.
import { createHostDevice } from '@checkpoint-engine/device';
import type { BroadcastFactory } from '@checkpoint-engine/transport-compliance';
import { shm } from '@checkpoint-engine/transport-shm';

export const broadcast: BroadcastFactory = async () => ({ device: await createHostDevice(), transport: shm() });
