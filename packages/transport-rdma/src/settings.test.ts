import { afterEach, describe, expect, test, vi } from 'vitest';
import type { RdmaDevice } from './devices/list-rdma-devices.ts';
import { type RdmaOptions, resolveOptions } from './options.ts';
import { controlPorts, engineSettings } from './settings.ts';

const device = (name: string, isEfa = false): RdmaDevice => ({ name, isEfa, numaNode: undefined, ports: [] });
const host = [device('mlx5_0'), device('mlx5_1')];
const settle = (options: RdmaOptions, available: readonly RdmaDevice[] = host): ReturnType<typeof engineSettings> =>
  engineSettings(resolveOptions(options), available);

afterEach(() => {
  vi.unstubAllEnvs();
});

describe('engineSettings', () => {
  test.each<[string, RdmaOptions, RdmaDevice[], object]>([
    ['RDMA if there are devices', {}, host, { protocol: 'rdma', devices: ['mlx5_0', 'mlx5_1'], pinsMemory: true }],
    ['the requested devices', { devices: ['mlx5_1'] }, host, { protocol: 'rdma', devices: ['mlx5_1'] }],
    ['TCP if there are no devices', {}, [], { protocol: 'tcp', devices: [], pinsMemory: false }],
    ['TCP if it is requested', { protocol: 'tcp' }, host, { protocol: 'tcp', devices: [] }],
    ['EFA if there are no other devices', {}, [device('rdmap0', true)], { protocol: 'efa', devices: ['rdmap0'] }],
    ['verbs before EFA', {}, [device('rdmap0', true), ...host], { protocol: 'rdma', devices: ['mlx5_0', 'mlx5_1'] }],
  ])('takes %s', (_, options, available, expected) => {
    expect(settle(options, available)).toMatchObject(expected);
  });

  test.each<[RdmaOptions, RdmaDevice[]]>([
    [{ devices: ['mlx5_7'] }, host],
    [{ devices: ['mlx5_0', 'mlx5_7'] }, host],
    [{ protocol: 'rdma' }, []],
    [{ protocol: 'efa' }, host],
    [{ protocol: 'rdma', devices: ['rdmap0'] }, [device('rdmap0', true)]],
  ])('refuses %j without such a device', (options, available) => {
    expect(() => settle(options, available)).toThrowError(expect.objectContaining({ code: 'CE_DEVICE_UNAVAILABLE' }));
  });

  test("keeps the user's settings of Mooncake", () => {
    vi.stubEnv('MC_LOG_LEVEL', 'INFO');
    expect(settle({ protocol: 'tcp', ports: [20_000, 20_009] }).env).toEqual({
      MC_TCP_ENABLE_CONNECTION_POOL: '1',
      MC_MIN_RPC_PORT: '20000',
      MC_MAX_RPC_PORT: '20007',
      MC_FORCE_TCP: '1',
    });
  });
});

describe('controlPorts', () => {
  test('are those that the engines do not use, the last one first', () => {
    expect(controlPorts([20_000, 20_009])).toEqual([20_009, 20_008]);
    expect(controlPorts([20_000, 20_004])).toEqual([20_004]);
    expect(controlPorts(undefined)).toEqual([0]);
  });
});

describe('resolveOptions', () => {
  test.each<[RdmaOptions]>([
    [{ protocol: 'udp' as 'tcp' }],
    [{ host: '0.0.0.0' }],
    [{ host: '' }],
    [{ host: 'a b' }],
    [{ devices: ['mlx5_0,mlx5_1'] }],
  ])('refuses %j', (options) => {
    expect(() => resolveOptions(options)).toThrow(TypeError);
  });
  test.each<[RdmaOptions]>([
    [{ blockBytes: 1000 }],
    [{ blockBytes: 17 * 1024 * 1024 }],
    [{ maxInFlight: 513 }],
    [{ maxInFlight: 3 }],
    [{ ports: [20_000, 20_003] }],
    [{ ports: [0, 10] }],
    [{ readTimeoutMs: 0 }],
    [{ drainTimeoutMs: 2 ** 31 }],
  ])('refuses %j as out of range', (options) => {
    expect(() => resolveOptions(options)).toThrow(RangeError);
  });
});
