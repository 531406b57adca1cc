import { describe, expect, it } from 'vitest';
import { type ServeFlags, serveConfig } from './serve-config.ts';

const flags: ServeFlags = {
  ...{ nprocPerNode: 2, nnodes: 1, nodeRank: 0, device: 'host', engine: 'vllm', method: 'auto', p2pHost: '127.0.0.1' },
  ...{ graceTime: 1000, keepReports: 20, verify: 'sample', logLevel: 'info', logFormat: 'json' },
};
const config = (change: Partial<ServeFlags>) =>
  serveConfig({ ...flags, ...change }, { CHECKPOINT_ENGINE_TOKEN: 't'.repeat(32) });

describe('serveConfig', () => {
  it('has no sockets of ranks by default', () => expect(config({}).rankSockets).toBeUndefined());

  it.each([
    [{ rankUds: '/run/{rank}/ce-{rank}.sock' }, ['/run/0/ce-0.sock', '/run/1/ce-1.sock']],
    [{ rankUds: '/run/ce.sock', nprocPerNode: 1 }, ['/run/ce.sock']],
  ])('names the sockets of ranks: %j', (change, paths) => expect(config(change).rankSockets).toEqual(paths));

  it.each([
    [{ rankUds: '/run/ce.sock' }, '--rank-uds is "/run/ce.sock" for 2 ranks'],
    [{ nnodes: 128, nprocPerNode: 1024 }, '128 hosts with 1024 ranks each are 131072 ranks'],
    [{ rankUds: '/run/{rank}', nnodes: 2, masterAddr: 'a', masterPort: 1 }, '--rank-uds is given with --nnodes 2'],
    [{ rankUds: '/run/{rank}', nnodes: 2, nodeRank: 1, masterAddr: 'a', masterPort: 1 }, '--rank-uds'],
    [{ rankUds: '/run/{rank}', uds: '/run/1' }, '--uds and --rank-uds are both /run/1'],
  ])('refuses %j', (change, message) => {
    expect(() => config(change)).toThrow(
      expect.objectContaining({ code: 'CE_CONFIG_INVALID', message: expect.stringContaining(message) }),
    );
  });

  it('writes pages and traces, traces alone, or neither', () => {
    expect(config({}).reports).toBeUndefined();
    expect(config({ reportFolder: '/r' }).reports).toEqual({ folder: '/r', keep: 20, hasPages: true });
    expect(config({ trace: '/t' }).reports).toEqual({ folder: '/t', keep: 20, hasPages: false });
    expect(() => config({ reportFolder: '/r', trace: '/t' })).toThrow(/are both given/);
  });

  it('releases communicators on request', () => {
    expect(config({}).update.releaseCommunicators).toBeUndefined();
    expect(config({ releaseCommunicators: true }).update.releaseCommunicators).toBe(true);
  });
});
