import { p2pSuite, processes } from '@checkpoint-engine/transport-compliance';
import * as runner from 'vitest';
import { mooncakeForTests } from './support/mooncake.ts';

const { python, missing } = await mooncakeForTests();
/** `rdma` or `efa` on hosts that have the devices; `MOONCAKE_HOST` is then their address. */
const protocol = process.env.MOONCAKE_PROTOCOL ?? 'tcp';

runner.describe.skipIf(missing)('compliance', () => {
  p2pSuite({
    runner,
    name: `rdma over ${protocol}`,
    factory: new URL('./support/compliance-member.mjs', import.meta.url),
    world: processes({ env: { MOONCAKE_PYTHON: python, MOONCAKE_PROTOCOL: protocol } }),
    maxRanks: 3,
  });
});
