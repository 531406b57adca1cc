import { p2pSuite, processes } from '@checkpoint-engine/transport-compliance';
import * as runner from 'vitest';
import { mooncakeForTests } from './support/mooncake.ts';

const { python, missing } = await mooncakeForTests();

runner.describe.skipIf(missing)('compliance', () => {
  p2pSuite({
    runner,
    name: 'rdma over TCP',
    factory: new URL('./support/compliance-member.mjs', import.meta.url),
    world: processes({ env: { MOONCAKE_PYTHON: python } }),
    maxRanks: 3,
  });
});
