import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { chooseRdmaDevices } from './choose-rdma-devices.ts';
import { listRdmaDevices } from './list-rdma-devices.ts';
import { parseNcclIbHca } from './parse-nccl-ib-hca.ts';
import { rdmaDeviceForRank } from './rdma-device-for-rank.ts';

const host = ['mlx5_0', 'mlx5_1', 'mlx5_10', 'mlx4_0', 'roce_0'];
const many = Array.from({ length: 50 }, (_, i) => `device_${i}`);

describe('parseNcclIbHca', () => {
  test.each<[string, string[]]>([
    ['', host],
    ['  \t\n', host],
    ['mlx5_0', ['mlx5_0']],
    ['mlx5_1', ['mlx5_1', 'mlx5_10']],
    ['mlx5', ['mlx5_0', 'mlx5_1', 'mlx5_10']],
    ['roce_0,mlx5_0', ['mlx5_0', 'roce_0']],
    ['mlx5_0,,mlx4', ['mlx5_0', 'mlx4_0']],
    [' mlx5_0 , mlx4_0 ', ['mlx5_0', 'mlx4_0']],
    ['=mlx5_1', ['mlx5_1']],
    ['=mlx5', []],
    ['=mlx5_1,mlx5_100', ['mlx5_1']],
    ['^mlx5_1', ['mlx5_0', 'mlx4_0', 'roce_0']],
    ['^mlx5,roce', ['mlx4_0']],
    ['^=mlx5_1,roce_0', ['mlx5_0', 'mlx5_10', 'mlx4_0']],
    ['^none', host],
    ['none', []],
    ['mlx5_0:1', ['mlx5_0']],
    ['mlx5_0:1:2,mlx4_0:2', ['mlx5_0', 'mlx4_0']],
    ['^=mlx5_0:1', ['mlx5_1', 'mlx5_10', 'mlx4_0', 'roce_0']],
    [':1', host],
    ['^', host],
    ['=', host],
    ['^=', host],
    ['=^', host],
    ['^^', host],
    ['==mlx5_1', ['mlx5_1']],
    ['^=mlx5_0,^=mlx5_1', ['mlx5_1', 'mlx5_10', 'mlx4_0', 'roce_0']],
  ])('"%s" selects %j', (value, expected) => {
    expect(parseNcclIbHca(value, host)).toEqual(expected);
  });

  test('selects at most 32 devices, by at most 32 entries', () => {
    expect(parseNcclIbHca('', many)).toEqual(many.slice(0, 32));
    expect(parseNcclIbHca(`=${many.join(',')}`, [...many].reverse())).toEqual(many.slice(0, 32).reverse());
  });
});

describe('rdmaDeviceForRank', () => {
  test.each<[number, number, string[], string]>([
    [0, 8, ['a'], 'a'],
    [7, 8, ['a'], 'a'],
    [3, 8, ['a', 'b'], 'a'],
    [4, 8, ['a', 'b'], 'b'],
    [5, 8, many.slice(0, 8), 'device_5'],
    [1, 2, ['a', 'b', 'c', 'd'], 'c,d'],
    [0, 1, ['a', 'b', 'c'], 'a,b,c'],
  ])('rank %i of %i with %j takes %s', (localRank, gpuCount, devices, expected) => {
    expect(rdmaDeviceForRank(localRank, gpuCount, devices)).toBe(expected);
  });

  test.each([
    [8, many.slice(0, 5)],
    [8, many.slice(0, 12)],
    [2, many.slice(0, 3)],
    [8, []],
  ])('with %i GPUs, the devices %j cause an error that names the variables', (gpuCount, devices) => {
    expect(() => rdmaDeviceForRank(0, gpuCount, devices)).toThrowError(
      expect.objectContaining({
        code: 'CE_CONFIG_INVALID',
        hint: expect.stringMatching(/PS_P2P_STORE_RDMA_DEVICES.*NCCL_IB_HCA/),
      }),
    );
  });

  test('refuses ranks that do not exist', () => {
    expect(() => rdmaDeviceForRank(8, 8, ['a'])).toThrow(RangeError);
    expect(() => rdmaDeviceForRank(-1, 8, ['a'])).toThrow(RangeError);
    expect(() => rdmaDeviceForRank(0, 0, ['a'])).toThrow(RangeError);
  });
});

describe('chooseRdmaDevices', () => {
  const available = ['mlx5_0', 'mlx5_1', 'mlx5_2', 'mlx5_3'];
  const choose = (env: Record<string, string>, localRank: number, gpuCount = 2): string[] =>
    chooseRdmaDevices({ env, localRank, gpuCount, available });

  test('takes the devices that are named, in their order', () => {
    expect(choose({ PS_P2P_STORE_RDMA_DEVICES: 'mlx5_3, mlx5_0', NCCL_IB_HCA: 'mlx5_1' }, 0)).toEqual(['mlx5_3']);
  });
  test('otherwise takes the devices that NCCL would take', () => {
    expect(choose({ NCCL_IB_HCA: '^mlx5_0,mlx5_2' }, 1)).toEqual(['mlx5_3']);
  });
  test('otherwise takes all devices', () => {
    expect(choose({}, 1)).toEqual(['mlx5_2', 'mlx5_3']);
  });
  test('refuses names of missing devices', () => {
    expect(() => choose({ PS_P2P_STORE_RDMA_DEVICES: 'mlx5_9' }, 0)).toThrowError(/mlx5_9.*mlx5_0/);
    expect(() => choose({ NCCL_IB_HCA: 'nothing' }, 0)).toThrowError(/no RDMA device/);
  });
});

describe('listRdmaDevices', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ce-rdma-devices-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), `${text}\n`);
  };

  test("reads the kernel's files of each device", () => {
    write('mlx5_10/device/vendor', '0x15b3');
    write('mlx5_10/device/numa_node', '1');
    write('mlx5_10/ports/1/state', '4: ACTIVE');
    write('mlx5_10/ports/1/link_layer', 'InfiniBand');
    write('mlx5_10/ports/1/rate', '400 Gb/sec (4X NDR)');
    write('mlx5_2/device/numa_node', '-1');
    write('mlx5_2/ports/2/state', '1: DOWN');
    write('mlx5_2/ports/1/link_layer', 'Ethernet');
    write('rdmap0/device/vendor', '0x1d0f');
    expect(listRdmaDevices(folder)).toEqual([
      {
        name: 'mlx5_2',
        isEfa: false,
        numaNode: undefined,
        ports: [
          { number: 1, active: false, linkLayer: 'Ethernet', rateGbps: 0 },
          { number: 2, active: false, linkLayer: 'unknown', rateGbps: 0 },
        ],
      },
      {
        name: 'mlx5_10',
        isEfa: false,
        numaNode: 1,
        ports: [{ number: 1, active: true, linkLayer: 'InfiniBand', rateGbps: 400 }],
      },
      { name: 'rdmap0', isEfa: true, numaNode: undefined, ports: [] },
    ]);
  });

  test('returns an empty list without devices', () => {
    expect(listRdmaDevices(join(folder, 'missing'))).toEqual([]);
  });
});
