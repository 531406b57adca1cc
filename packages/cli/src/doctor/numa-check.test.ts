import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import pico from 'picocolors';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { diagnosisText } from './diagnosis-text.ts';
import { checkNuma } from './numa-check.ts';

describe('checkNuma', () => {
  let sysfs: string;
  beforeEach(() => {
    sysfs = mkdtempSync(join(tmpdir(), 'ce-sysfs-'));
  });
  afterEach(() => rmSync(sysfs, { recursive: true }));

  const write = (path: string, text: string): void => {
    mkdirSync(dirname(join(sysfs, path)), { recursive: true });
    writeFileSync(join(sysfs, path), `${text}\n`);
  };
  const node = (number: number, distance: string): void => {
    write(`devices/system/node/node${number}/distance`, distance);
  };
  const pci = (busId: string, vendor: string, deviceClass: string, numaNode: string): void => {
    write(`bus/pci/devices/${busId}/vendor`, vendor);
    write(`bus/pci/devices/${busId}/class`, deviceClass);
    write(`bus/pci/devices/${busId}/numa_node`, numaNode);
  };
  const gpu = (busId: string, numaNode: number): void => pci(busId, '0x10de', '0x030200', String(numaNode));
  const nic = (name: string, numaNode: number): void =>
    write(`class/infiniband/${name}/device/numa_node`, String(numaNode));
  const value = async (): Promise<string | undefined> => (await checkNuma(sysfs))[0]?.value;

  it('lists the NICs from each GPU node, the nearest first', async () => {
    write('devices/system/node/online', '0-1');
    node(0, '10 21');
    node(1, '21 10');
    gpu('0000:9d:00.0', 1);
    gpu('0000:17:00.0', 0);
    gpu('0000:2a:00.0', 0);
    nic('mlx5_0', 1);
    nic('mlx5_1', 0);
    const [check] = await checkNuma(sysfs);
    expect(check).toMatchObject({ id: 'numa', status: 'found' });
    expect(check!.value.split('\n')).toEqual([
      '2 nodes, distance to each NIC (10 is the same node):',
      'node 0, GPU 0000:17:00.0 0000:2a:00.0: mlx5_1 10, mlx5_0 21',
      'node 1, GPU 0000:9d:00.0: mlx5_0 10, mlx5_1 21',
    ]);
    expect(JSON.parse(JSON.stringify(check!.details))).toMatchObject({
      nodes: [
        { node: 0, distances: { 0: 10, 1: 21 } },
        { node: 1, distances: { 0: 21, 1: 10 } },
      ],
      gpus: [{ busId: '0000:17:00.0', numaNode: 0 }, { busId: '0000:2a:00.0' }, { busId: '0000:9d:00.0', numaNode: 1 }],
      nics: [
        { name: 'mlx5_0', numaNode: 1 },
        { name: 'mlx5_1', numaNode: 0 },
      ],
    });
  });

  it('reads distances of nodes whose numbers have gaps, in the order of the numbers', async () => {
    node(10, '32 20 10');
    node(2, '20 10 20');
    node(0, '10 20 32');
    gpu('0000:17:00.0', 0);
    nic('near', 2);
    nic('far', 10);
    expect(await value()).toContain('node 0, GPU 0000:17:00.0: near 20, far 32');
  });

  it('lists the NICs from the CPUs of every node if there is no GPU', async () => {
    node(0, '10 20');
    node(1, '20 10');
    pci('0000:01:00.0', '0x1a03', '0x030000', '0'); // the on-board graphics adapter
    pci('0000:02:00.0', '0x10de', '0x040300', '0'); // sound
    nic('mlx5_0', 1);
    expect((await value())!.split('\n').slice(1)).toEqual(['node 0: mlx5_0 20', 'node 1: mlx5_0 10']);
  });

  it('reports devices at unknown places', async () => {
    node(0, '10 20');
    node(1, '20 10');
    gpu('0000:17:00.0', -1);
    nic('mlx5_0', -1);
    expect((await value())!.split('\n').slice(1)).toEqual([
      'node 0: no NIC reports its node',
      'node 1: no NIC reports its node',
      'at an unknown node: GPU 0000:17:00.0, mlx5_0',
    ]);
  });

  it('prints one line if there are no distances', async () => {
    node(0, '10');
    nic('mlx5_0', 0);
    expect(await value()).toBe('1 node: all NICs are equally near');
    node(1, '20 10');
    rmSync(join(sysfs, 'class'), { recursive: true });
    expect(await value()).toBe('2 nodes, but no RDMA NIC');
  });

  it('prints nothing if the kernel shows no node', async () => {
    nic('mlx5_0', 0);
    expect(await checkNuma(sysfs)).toEqual([]);
  });
});

describe('diagnosisText', () => {
  it('indents further lines of a value below its first', () => {
    const checks = [{ id: 'a', title: 'A', status: 'found' as const, value: 'one\ntwo' }];
    expect(diagnosisText({ checks, devices: [] }, pico.createColors(false)).split('\n').slice(0, 2)).toEqual([
      '✓ A  one',
      '     two',
    ]);
  });
});
