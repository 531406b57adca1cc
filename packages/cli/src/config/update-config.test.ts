import { describe, expect, it } from 'vitest';
import { type UpdateFlags, updateConfig } from './update-config.ts';

const flags: UpdateFlags = {
  checkpointPath: '/models/step-100/',
  device: 'auto',
  engine: 'vllm',
  endpoint: ['http://a'],
  stages: '3',
  timeout: 1000,
  sleepTime: 0,
  logLevel: 'info',
  logFormat: 'json',
};
const invalid = (pattern: RegExp) =>
  expect.objectContaining({ code: 'CE_CONFIG_INVALID', message: expect.stringMatching(pattern) });

describe('updateConfig', () => {
  it('is one rank by default, named after the last part of the path', () => {
    const config = updateConfig(flags, {});
    expect(config).toMatchObject({ worldSize: 1, identity: undefined, json: false });
    expect(config.delivery.register).toMatchObject({ name: 'step-100', keepFiles: false });
    expect(config.delivery.update).toMatchObject({ name: 'step-100', timeoutMs: 1000 });
  });

  it('takes the world from a launcher', () => {
    const env = { RANK: '3', WORLD_SIZE: '8', MASTER_PORT: '29500' };
    expect(updateConfig(flags, env)).toMatchObject({ worldSize: 8, identity: { rank: 3 } });
  });

  it('gives each rank of a launcher a trace of its own, and ranks of this command one for all', () => {
    const env = { RANK: '3', WORLD_SIZE: '8', MASTER_PORT: '29500' };
    expect(updateConfig({ ...flags, trace: '/tmp/update.json' }, env).traceFile).toBe('/tmp/update.rank-3.json');
    expect(updateConfig({ ...flags, nprocPerNode: 8, trace: 'update.json' }, {}).traceFile).toBe('update.json');
  });

  it('passes the order of stages on', () => {
    expect(updateConfig(flags, {}).delivery.update).toMatchObject({ stages: 3, releaseCommunicators: false });
    const changed = updateConfig({ ...flags, stages: 'auto', releaseCommunicators: true }, {}).delivery.update;
    expect(changed).toMatchObject({ stages: 'auto', releaseCommunicators: true });
  });

  it('refuses to start ranks where a launcher did', () => {
    const env = { RANK: '0', WORLD_SIZE: '1' };
    expect(() => updateConfig({ ...flags, nprocPerNode: 2 }, env)).toThrow(invalid(/--nproc-per-node 2/));
  });

  it('shares the ranks among several endpoints', () => {
    const config = updateConfig({ ...flags, nprocPerNode: 8, endpoint: ['http://a', 'http://b'] }, {});
    expect(config.delivery.update.targets).toMatchObject({ parallelSize: 4, endpoints: ['http://a', 'http://b'] });
  });

  it('lets one endpoint stand for all groups', () => {
    const config = updateConfig({ ...flags, nprocPerNode: 8, inferenceParallelSize: 2 }, {});
    expect(config.delivery.update.targets).toMatchObject({ parallelSize: 2, endpoints: ['http://a'] });
  });

  it('takes sockets instead of endpoints', () => {
    const { endpoint, ...withoutEndpoint } = flags;
    expect(updateConfig({ ...withoutEndpoint, uds: ['/a.sock'] }, {}).delivery.update.targets).toMatchObject({
      endpoints: [],
      uds: ['/a.sock'],
    });
    expect(() => updateConfig(withoutEndpoint, {})).toThrow(invalid(/Neither --endpoint nor --uds/));
  });

  it('streams, and reads in the background where the weights are to stay in host memory', () => {
    const register = (change: Partial<UpdateFlags>): object =>
      updateConfig({ ...flags, ...change }, {}).delivery.register;
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
    [{ stream: true, sleepTime: 1 }, /--stream leaves no weights in host memory, and --sleep-time/],
    [{ stream: true, saveMetasFile: 'm' }, /--save-metas-file/],
    [{ stream: false, hostMemory: 100 }, /--host-memory 100 .* --no-stream/],
    [{ hostMemory: 100 }, /--host-memory is 100 bytes/],
    [{ sleepTime: 1, hostMemory: 100 }, /--host-memory 100 .* --sleep-time/],
    [{ nprocPerNode: 4, uds: ['/a', '/b', '/c'] }, /--uds is given 3 times for 1/],
  ])('refuses %o', (change, pattern) =>
    expect(() => updateConfig({ ...flags, ...change }, {})).toThrow(invalid(pattern)),
  );
});
