// Creates the parts of each member of the compliance tests; the members' processes import it.
import { createHostDevice } from '@checkpoint-engine/device';
import { shm, shmP2P } from '@checkpoint-engine/transport-shm';

export const broadcast = async () => ({ device: await createHostDevice(), transport: shm() });
export const p2p = async () => ({ device: await createHostDevice(), transport: shmP2P() });
