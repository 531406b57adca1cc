// The suite on a fake driver and a fake NCCL. compliance.gpu.test.ts runs it on GPUs.
import { broadcastSuite, processes } from '@checkpoint-engine/transport-compliance';
import * as runner from 'vitest';
import { buildFakes, noCompiler } from './fakes.ts';
import { skip } from './skips.ts';

const factory = new URL('./member.js', import.meta.url);

if (noCompiler !== '') {
  runner.describe.skip(`nccl on fakes: ${noCompiler}`, () => {});
} else {
  const env = { ...buildFakes(), FAKE_CUDA_DEVICES: '4' };
  broadcastSuite({ runner, name: 'nccl on fakes', factory, world: processes({ env }), skip });
  // Like between GPUs that share memory: NCCL never notices the loss, but the store does.
  const mute = processes({ env: { ...env, FAKE_NCCL_MUTE: '1' } });
  broadcastSuite({ runner, name: 'nccl on fakes that detect no failures', factory, world: mute, skip, maxRanks: 2 });
}
