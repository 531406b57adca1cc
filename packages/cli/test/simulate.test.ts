// The command `simulate`, with a trace that a real update writes.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { smallCheckpoint, temporaryFolder } from './checkpoints.ts';
import { startTestWorker } from './demo-worker.ts';
import { parseJson, runCli } from './run-cli.ts';

const { folder, remove } = await temporaryFolder();
afterAll(remove);
const checkpoint = await smallCheckpoint(join(folder, 'step-1'), 'one');
const small = ['--model', 'qwen3-8b', '--preset', 'h200', '--world-size', '16'];
const simulate = (...args: string[]) => runCli(['simulate', ...args]);

interface Printed {
  readonly simulations: readonly {
    result: { method: string; totalMs: number; totalBytes: number; links: unknown[] };
  }[];
  readonly calibration?: { fields: { field: string; value: number }[]; measuredMs: number };
  readonly sweeps: readonly { points: readonly { value: number; result: { totalMs: number } }[] }[];
}

describe('simulate', () => {
  it('compares methods as text', async () => {
    const { code, stdout, stderr } = await simulate(...small);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    for (const text of [
      'Qwen3-8B: broadcast',
      'Qwen3-8B: pull',
      'bottleneck',
      'what if',
      'most used link',
      'Comparison',
    ]) {
      expect(stdout).toContain(text);
    }
  });

  it('prints one JSON object, which is equal each time', async () => {
    const [first, second] = [await simulate(...small, '--json'), await simulate(...small, '--json')];
    expect(first.stdout).toBe(second.stdout);
    const { simulations } = parseJson(first) as unknown as Printed;
    expect(simulations.map(({ result }) => result.method)).toEqual(['broadcast', 'pull']);
    expect(simulations[0]!.result).toMatchObject({ totalBytes: 16_381_470_720 });
  });

  it('reads a checkpoint, a topology and a layout', async () => {
    const [topology, layout] = [join(folder, 'cluster.json'), join(folder, 'layout.json')];
    await writeFile(topology, JSON.stringify({ preset: 'h100', hosts: 2, gpusPerHost: 2, host: { nics: 2 } }));
    await writeFile(layout, JSON.stringify({ tp: 2, pp: 2, rules: [{ match: 'norm', split: 'replicated' }] }));
    const flags = ['--checkpoint-path', checkpoint, '--topology', topology, '--layout', layout, '--world-size', '4'];
    const result = await simulate(...flags, '--method', 'pull', '--source', 'files', '--json');
    expect(result).toMatchObject({ code: 0, stderr: '' });
    expect((parseJson(result) as unknown as Printed).simulations[0]!.result.totalMs).toBeGreaterThan(0);
  });

  it('sweeps, and writes a page', async () => {
    const swept = parseJson(await simulate(...small, '--method', 'pull', '--sweep', 'world-size=8,32', '--json'));
    expect((swept as unknown as Printed).sweeps[0]!.points.map(({ value }) => value)).toEqual([8, 32]);
    const page = join(folder, 'page.html');
    expect(await simulate(...small, '--join', '8', '--report', page)).toMatchObject({ code: 0, stderr: '' });
    const text = await readFile(page, 'utf8');
    for (const part of ['simulated', 'What would help most', 'prefers-color-scheme: dark'])
      expect(text).toContain(part);
    expect(text).not.toMatch(/<script|(?:src|href)="(?!#)/);
  });

  it('fits a cluster to the trace of a real update', async () => {
    const sockets = [join(folder, '0.sock'), join(folder, '1.sock')];
    const workers = await Promise.all(sockets.map((socket, index) => startTestWorker(index, socket)));
    const trace = join(folder, 'trace.json');
    const flags = [
      '--engine',
      'worker',
      '--device',
      'host',
      '--nproc-per-node',
      '2',
      '--no-stream',
      '--method',
      'buckets',
    ];
    const update = ['update', '--checkpoint-path', checkpoint, ...flags, ...sockets.flatMap((path) => ['--uds', path])];
    try {
      expect(await runCli([...update, '--json', '--trace', trace])).toMatchObject({ code: 0 });
    } finally {
      await Promise.all(workers.map((worker) => worker.close()));
    }
    const topology = join(folder, 'host.json');
    await writeFile(topology, JSON.stringify({ preset: 'h200', device: 'host', gpusPerHost: 2, host: { nics: 0 } }));
    const ours = ['--checkpoint-path', checkpoint, '--topology', topology, '--world-size', '2', '--tp', '1'];
    const result = await simulate(...ours, '--method', 'broadcast', '--calibrate', trace, '--json');
    expect(result).toMatchObject({ code: 0, stderr: '' });
    const { calibration, simulations } = parseJson(result) as unknown as Printed;
    const fitted = calibration!.fields.map(({ field }) => field);
    expect(fitted).toEqual(
      expect.arrayContaining(['costs.meetMs', 'costs.handshakeMs', 'gpu.pcieGBps', 'costs.hookMs']),
    );
    // Both times contain these phases, whose costs come from the trace.
    const known = calibration!.fields.filter(({ field }) => /meet|handshake|release|hook/.test(field));
    const phasesMs = known.reduce((sum, { value }) => sum + value, 0);
    expect(simulations[0]!.result.totalMs).toBeGreaterThanOrEqual(phasesMs);
    expect(calibration!.measuredMs).toBeGreaterThan(phasesMs * 0.5);
  });

  it.each([
    [['--model', 'gpt-9', '--preset', 'h200', '--world-size', '8'], 'Unknown model "gpt-9"'],
    [['--model', 'qwen3-8b', '--world-size', '8'], 'The cluster is missing'],
    [['--preset', 'h200', '--world-size', '8'], '0 models are given, expected 1'],
    [[...small, '--tp', '5'], '16 ranks do not divide into instances of 5 ranks'],
    [[...small, '--world-size', '12'], 'do not fill hosts of 8 GPUs'],
    [[...small, '--hosts', '1'], '16 ranks need 2 hosts of 8 GPUs, but the topology has 1'],
    [[...small, '--method', 'teleport'], 'The method is "teleport"'],
    [[...small, '--sweep', 'gpus=1'], '--sweep is "gpus=1"'],
    [[...small, '--sweep', `nics=${Array(65).fill(1).join()}`], 'The sweep has 65 values'],
    [
      [...small, '--calibrate', 'absent.json'],
      'The file of --calibrate, "absent.json", cannot be read: it does not exist',
    ],
    [[...small, '--layout', folder], 'it is a directory'],
    [[...small, '--report', join(folder, 'absent', 'p.html')], '--report'],
  ])('refuses %j', async (args, what) => {
    const { code, stdout, stderr } = await simulate(...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(what);
    expect(stderr.match(/error:/g)).toHaveLength(1);
  });
});
