// What each member of the compliance tests is made of. The suite imports it in a process for each of them.
import { createHostDevice } from '@checkpoint-engine/device';
import { throughStore } from './through-store.mjs';

export const broadcast = async () => ({ device: await createHostDevice(), transport: throughStore() });
