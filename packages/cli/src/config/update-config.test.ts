import { describe, expect, it } from 'vitest';
import type { RankRegisterRequest } from './requests.ts';
import { joinConfig, type UpdateConfig, type UpdateFlags, updateConfig } from './update-config.ts';

const flags: UpdateFlags = {
  checkpointPath: '/models/step-100/',
  updateMethod: 'broadcast',
  p2pHost: '127.0.0.1',
  device: 'auto',
  engine: 'vllm',
  endpoint: ['http://a'],
  method: 'auto',
  verify: 'sample',
  timeout: 1000,
  sleepTime: 0,
  logLevel: 'info',
  logFormat: 'json',
};
const invalid = (pattern: RegExp) =>
  expect.objectContaining({ code: 'CE_CONFIG_INVALID', message: expect.stringMatching(pattern) });

const registerOf = ({ delivery: { source } }: UpdateConfig): RankRegisterRequest =>
  (source as { register: RankRegisterRequest }).register;
const updateOf = ({ delivery }: UpdateConfig) => delivery.updates[0]!;

describe('updateConfig', () => {
  it('is one rank by default, and takes the name from the last part of the path', () => {
    const config = updateConfig(flags, {});
    expect(config).toMatchObject({ worldSize: 1, identity: undefined, json: false });
    expect(registerOf(config)).toMatchObject({ name: 'step-100', keepFiles: false });
    expect(config.delivery.updates).toEqual([expect.objectContaining({ timeoutMs: 1000, ranks: undefined })]);
  });

  it('takes the world from a launcher', () => {
    const env = { RANK: '3', WORLD_SIZE: '8', MASTER_PORT: '29500' };
    expect(updateConfig(flags, env)).toMatchObject({ worldSize: 8, identity: { rank: 3 } });
  });

  it('gives each rank of a launcher its own trace, and the ranks of this command one trace', () => {
    const env = { RANK: '3', WORLD_SIZE: '8', MASTER_PORT: '29500' };
    expect(updateConfig({ ...flags, trace: '/tmp/update.json' }, env).traceFile).toBe('/tmp/update.rank-3.json');
    expect(updateConfig({ ...flags, nprocPerNode: 8, trace: 'update.json' }, {}).traceFile).toBe('update.json');
  });

  it('passes the release of communicators on', () => {
    expect(updateOf(updateConfig(flags, {}))).toMatchObject({ releaseCommunicators: false });
    const changed = updateOf(updateConfig({ ...flags, releaseCommunicators: true }, {}));
    expect(changed).toMatchObject({ releaseCommunicators: true });
  });

  it('refuses to start ranks if a launcher started this one', () => {
    const env = { RANK: '0', WORLD_SIZE: '1' };
    expect(() => updateConfig({ ...flags, nprocPerNode: 2 }, env)).toThrow(invalid(/--nproc-per-node 2/));
  });

  it('divides the ranks among several endpoints', () => {
    const config = updateConfig({ ...flags, nprocPerNode: 8, endpoint: ['http://a', 'http://b'] }, {});
    expect(updateOf(config).targets).toMatchObject({ parallelSize: 4, endpoints: ['http://a', 'http://b'] });
  });

  it('uses one endpoint for all groups', () => {
    const config = updateConfig({ ...flags, nprocPerNode: 8, inferenceParallelSize: 2 }, {});
    expect(updateOf(config).targets).toMatchObject({ parallelSize: 2, endpoints: ['http://a'] });
  });

  it('takes sockets instead of endpoints', () => {
    const { endpoint, ...withoutEndpoint } = flags;
    expect(updateOf(updateConfig({ ...withoutEndpoint, uds: ['/a.sock'] }, {})).targets).toMatchObject({
      endpoints: [],
      uds: ['/a.sock'],
    });
    expect(() => updateConfig(withoutEndpoint, {})).toThrow(invalid(/neither --endpoint nor --uds/));
  });

  it('streams, or reads in the background if the weights stay in host memory', () => {
    const register = (change: Partial<UpdateFlags>): object => registerOf(updateConfig({ ...flags, ...change }, {}));
    expect(register({})).toMatchObject({ stream: true, load: 'now' });
    expect(register({ stream: false })).toMatchObject({ stream: false, load: 'now' });
    expect(register({ stream: false, sleepTime: 1 })).toMatchObject({ stream: false, load: 'now' });
    expect(register({ sleepTime: 1 })).toMatchObject({ stream: false, load: 'background' });
    expect(register({ saveMetasFile: 'm' })).toMatchObject({ stream: false, load: 'background' });
    expect(register({ hostMemory: 2 ** 20 })).toMatchObject({ hostMemoryBytes: 2 ** 20 });
  });

  it('reads the limits of the environment', () => {
    expect(updateConfig(flags, { PS_MEM_FRACTION: '0.5' }).limits).toEqual({ memFraction: 0.5 });
  });

  it.each([
    [{ nprocPerNode: 6, inferenceParallelSize: 4 }, /--inference-parallel-size 4 does not divide the world size 6/],
    [
      { nprocPerNode: 8, inferenceParallelSize: 2, endpoint: ['http://a', 'http://b'] },
      /--endpoint is given 2 times for 4/,
    ],
    [{ stream: true, sleepTime: 1 }, /--stream leaves no weights in host memory, but with --sleep-time/],
    [{ stream: true, saveMetasFile: 'm' }, /--save-metas-file/],
    [{ stream: false, hostMemory: 100 }, /--host-memory 100 .* --no-stream/],
    [{ hostMemory: 100 }, /--host-memory is 100 bytes/],
    [{ sleepTime: 1, hostMemory: 100 }, /--host-memory 100 .* --sleep-time/],
    [
      { saveMetasFile: 'm', hostMemory: 2 ** 29 },
      /--host-memory 512 MiB .* --save-metas-file keeps .* "join" reads them/,
    ],
    [{ nprocPerNode: 4, uds: ['/a', '/b', '/c'] }, /--uds is given 3 times for 1/],
  ])('refuses %o', (change, pattern) =>
    expect(() => updateConfig({ ...flags, ...change }, {})).toThrow(invalid(pattern)),
  );
});

describe('updates of some ranks, and by P2P', () => {
  const world = { ...flags, nprocPerNode: 8 };

  it('updates some ranks, by default with one engine for all of them', () => {
    const some = updateConfig({ ...world, ranks: [4, 5, 6, 7] }, {});
    expect(updateOf(some)).toMatchObject({ ranks: [4, 5, 6, 7], targets: { parallelSize: 4 } });
    expect(some.p2p).toBeUndefined();
    const two = updateConfig({ ...world, ranks: [0, 1, 4, 5], inferenceParallelSize: 2 }, {});
    expect(updateOf(two).targets.parallelSize).toBe(2);
  });

  it('reads by P2P on request, or if others read afterwards', () => {
    expect(updateConfig({ ...world, updateMethod: 'p2p', inferenceParallelSize: 4 }, {})).toMatchObject({
      p2p: { transport: 'auto', host: '127.0.0.1', needsToken: false },
      delivery: {
        source: { register: { stream: false, load: 'now' } },
        updates: [{ ranks: [0, 1, 2, 3] }],
      },
    });
    const both = updateConfig({ ...world, updateMethod: 'all', ranks: [0, 1], inferenceParallelSize: 2 }, {});
    expect(both.delivery.updates.map(({ ranks }) => ranks)).toEqual([undefined, [0, 1]]);
    const serving = { ...world, saveMetasFile: 'metas', sleepTime: 1000, p2p: 'tcp', p2pHost: 'eth0' } as const;
    expect(updateConfig(serving, { CHECKPOINT_ENGINE_TOKEN: 'x' }).p2p).toEqual({
      transport: 'tcp',
      host: 'eth0',
      needsToken: true,
    });
    expect(updateConfig({ ...world, saveMetasFile: 'metas' }, {}).p2p).toBeUndefined();
  });

  it('joins with metas files', () => {
    const { checkpointPath: _, updateMethod: __, ...shared } = world;
    expect(joinConfig({ ...shared, loadMetasFile: ['/x/a.metas', 'b'], checkpointName: 'a' }, {})).toMatchObject({
      command: 'join',
      p2p: { transport: 'auto' },
      delivery: { source: { load: { files: ['/x/a.metas', 'b'], name: 'a' } }, updates: [{ ranks: undefined }] },
    });
  });

  it.each<[Partial<UpdateFlags>, RegExp]>([
    [{ ranks: [8] }, /--ranks has rank 8, expected ranks below 8/],
    [{ ranks: [0, 1, 2], inferenceParallelSize: 2 }, /--ranks leaves out rank 3/],
    [{ updateMethod: 'p2p', stream: true }, /--stream leaves no weights in host memory, but with --update-method p2p/],
    [{ updateMethod: 'all', hostMemory: 2 ** 30 }, /--update-method all keeps all weights in host memory/],
  ])('refuses %j', (change, pattern) => {
    expect(() => updateConfig({ ...world, ...change }, {})).toThrow(invalid(pattern));
  });
});
