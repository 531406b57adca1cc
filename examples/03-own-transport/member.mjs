// The parts of each member of the compliance tests. The suite imports this file in one process per member.
import { createHostDevice } from '@checkpoint-engine/device';
import { throughStore } from './through-store.mjs';

export const broadcast = async () => ({ device: await createHostDevice(), transport: throughStore() });
