import { createHostDevice } from '@checkpoint-engine/device';
import { deviceSuite } from '@checkpoint-engine/transport-compliance';
import * as runner from 'vitest';

const peer = new URL('./open-host-device.mjs', import.meta.url);
deviceSuite({ runner, name: 'host', open: createHostDevice, peer });
