import { describe, expect, it } from 'vitest';
import { readMasterAddr, readMasterPort, readMemoryLimits, readRankIdentity, readSecrets } from './environment.ts';

const invalid = (pattern: RegExp) =>
  expect.objectContaining({ code: 'CE_CONFIG_INVALID', message: expect.stringMatching(pattern) });

describe('readRankIdentity', () => {
  it('is undefined if no launcher set a variable', () => {
    expect(readRankIdentity({})).toBeUndefined();
    expect(readRankIdentity({ RANK: '', WORLD_SIZE: '', MASTER_PORT: '29500' })).toBeUndefined();
  });

  it('reads rank 0', () => {
    const env = { RANK: '0', WORLD_SIZE: '2', LOCAL_RANK: '0', MASTER_ADDR: '10.0.0.1', MASTER_PORT: '29500' };
    expect(readRankIdentity(env)).toEqual({
      rank: 0,
      worldSize: 2,
      localRank: 0,
      masterAddr: '10.0.0.1',
      masterPort: 29_500,
    });
  });

  it('leaves the local rank undefined if no launcher sets it, and takes this host as master', () => {
    expect(readRankIdentity({ RANK: '1', WORLD_SIZE: '2', MASTER_PORT: '1' })).toMatchObject({
      localRank: undefined,
      masterAddr: '127.0.0.1',
    });
  });

  it('needs no port in a world of one rank', () => {
    expect(readRankIdentity({ RANK: '0', WORLD_SIZE: '1' })).toMatchObject({ rank: 0, worldSize: 1 });
  });

  it.each([
    [{ RANK: '0' }, /WORLD_SIZE is not set/],
    [{ WORLD_SIZE: '2' }, /RANK is not set/],
    [{ RANK: '2', WORLD_SIZE: '2', MASTER_PORT: '1' }, /RANK is 2, but WORLD_SIZE is 2/],
    [{ RANK: '-1', WORLD_SIZE: '2' }, /RANK is "-1"/],
    [{ RANK: '0', WORLD_SIZE: '65537' }, /WORLD_SIZE is "65537", expected an integer from 1 to 65536/],
    [{ RANK: '99999999999', WORLD_SIZE: '2' }, /RANK is "99999999999"/],
    [{ RANK: '1', WORLD_SIZE: '2' }, /MASTER_PORT is not set/],
    [{ RANK: '1', WORLD_SIZE: '2', MASTER_PORT: '70000' }, /MASTER_PORT is "70000"/],
    [{ RANK: '1', WORLD_SIZE: '2', MASTER_PORT: '1', LOCAL_RANK: 'x' }, /LOCAL_RANK is "x"/],
  ])('refuses %o', (env, pattern) => expect(() => readRankIdentity(env)).toThrow(invalid(pattern)));
});

describe('readMasterAddr', () => {
  it.each([
    [undefined, '127.0.0.1'],
    ['', '127.0.0.1'],
    ['10.0.0.1', '10.0.0.1'],
    ['::1', '::1'],
    ['[fe80::1%eth0]', 'fe80::1%eth0'],
    ['job-master-0.jobs.svc.cluster.local.', 'job-master-0.jobs.svc.cluster.local.'],
    ['gpu_07', 'gpu_07'],
    ['n1', 'n1'],
  ])('reads %j as %s', (MASTER_ADDR, host) => expect(readMasterAddr({ MASTER_ADDR })).toBe(host));

  it.each([
    ...['[::1', '::1]', '127.0.0.1:29500', 'node1:29500', 'tcp://127.0.0.1:29500', 'http://node1', 'node1/x'],
    ...[' localhost', 'localhost\n', 'a b', '*', '-', '-a', 'a-', '256.1.1.1', '10.0.0', '1', 'x'.repeat(300)],
  ])('refuses %j', (MASTER_ADDR) => {
    const failure = invalid(/^MASTER_ADDR is ".*", expected a host name or an IP address/);
    expect(() => readMasterAddr({ MASTER_ADDR })).toThrow(failure);
  });
});

describe('readMasterPort', () => {
  it('may be absent', () => expect(readMasterPort({})).toBeUndefined());

  it('is the next port if the agent of torchrun listens on this one', () => {
    expect(readMasterPort({ MASTER_PORT: '29500', TORCHELASTIC_USE_AGENT_STORE: 'True' })).toBe(29_501);
    expect(readMasterPort({ MASTER_PORT: '29500', TORCHELASTIC_USE_AGENT_STORE: 'False' })).toBe(29_500);
  });
});

describe('readMemoryLimits', () => {
  it('takes the size in GiB', () => {
    expect(readMemoryLimits({ PS_MAX_BUCKET_SIZE_GB: '0.5', PS_MEM_FRACTION: '0.8' })).toEqual({
      maxBucketBytes: 2 ** 29,
      memFraction: 0.8,
    });
  });

  it('is empty if nothing is set', () => expect(readMemoryLimits({})).toEqual({}));

  it.each([
    [{ PS_MAX_BUCKET_SIZE_GB: '0' }, /PS_MAX_BUCKET_SIZE_GB is "0"/],
    [{ PS_MAX_BUCKET_SIZE_GB: '8GiB' }, /PS_MAX_BUCKET_SIZE_GB is "8GiB"/],
    [{ PS_MEM_FRACTION: '1.5' }, /PS_MEM_FRACTION is 1.5/],
    [{ PS_MEM_FRACTION: 'nan' }, /PS_MEM_FRACTION is "nan"/],
  ])('refuses %o', (env, pattern) => expect(() => readMemoryLimits(env)).toThrow(invalid(pattern)));
});

describe('readSecrets', () => {
  it('reads secrets, and counts empty ones as absent', () => {
    expect(readSecrets({ CHECKPOINT_ENGINE_TOKEN: 'secret+/=', CHECKPOINT_ENGINE_API_KEY: '' })).toEqual({
      token: 'secret+/=',
      apiKey: undefined,
    });
  });

  it.each(['secret\n', ' secret', 'sec ret', 'secret\r\n', 'geheimnisträger', 'a\0b'])(
    'refuses a token that no client can send, and does not print it: %j',
    (CHECKPOINT_ENGINE_TOKEN) => {
      const pattern = new RegExp(`CHECKPOINT_ENGINE_TOKEN \\(${CHECKPOINT_ENGINE_TOKEN.length} characters\\) has`);
      expect(() => readSecrets({ CHECKPOINT_ENGINE_TOKEN })).toThrow(invalid(pattern));
      expect(() => readSecrets({ CHECKPOINT_ENGINE_TOKEN })).not.toThrow(/secret|geheim/);
    },
  );
});
