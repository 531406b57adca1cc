import { readFileSync } from 'node:fs';
import type { DType, TensorSpec } from '@checkpoint-engine/meta';
import { describe, expect, it } from 'vitest';
import { presetTopology } from '../cluster/presets.ts';
import type { ClusterTopology } from '../cluster/topology.ts';
import { prepare } from '../simulate.ts';
import { calibrate } from './calibrate.ts';

/**
 * Traces of two real updates on the host device: 2 ranks with a worker each, files read before, buckets of at most 32
 * MiB (`update --device host --nproc-per-node 2 --no-stream --method buckets --bucket-size 32MiB --trace`). Both ran
 * within one minute on a busy machine with 2 cores.
 */
const read = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`./traces/${name}.json`, import.meta.url), 'utf8'));
const tensors = (name: string): TensorSpec[] =>
  (read(`${name}.tensors`) as [string, DType, ...number[]][]).map(([tensor, dtype, ...shape]) => ({
    name: tensor,
    dtype,
    shape,
  }));

const base = presetTopology('h200');
const host: ClusterTopology = { ...base, device: 'host', gpusPerHost: 2, host: { ...base.host, nics: 0 } };
const update = (name: string, topology: ClusterTopology) =>
  prepare({
    topology,
    model: { title: name, tensors: tensors(name) },
    method: 'broadcast',
    worldSize: 2,
    layout: { tp: 1, ep: 1, pp: 1, rules: [] },
    bucketBytes: 32 * 2 ** 20,
  });
const calibrated = calibrate({
  trace: read('host-253MiB'),
  topology: host,
  buckets: update('host-253MiB', host).buckets,
});

describe('calibrate', () => {
  it('plans the buckets of the trace', () => {
    const spans = (
      read('host-253MiB') as {
        traceEvents: { cat?: string; pid: number; name: string; args?: { sizeBytes: number } }[];
      }
    ).traceEvents;
    const sizes = spans.filter(({ cat, pid }) => cat === 'reload' && pid === 0).map(({ args }) => args!.sizeBytes);
    expect(update('host-253MiB', host).buckets.map(({ sizeBytes }) => sizeBytes)).toEqual(sizes);
  });

  it('fits phases, copies and reloads', () => {
    const fields = new Map(calibrated.fields.map(({ field, value }) => [field, value]));
    expect(fields.get('costs.meetMs')).toBeCloseTo(27, -1);
    expect(fields.get('costs.handshakeMs')).toBeGreaterThan(50);
    expect(fields.get('gpu.copyGBps')).toBeGreaterThan(1);
    expect([...fields.keys()]).toEqual(expect.arrayContaining(['gpu.pcieGBps', 'costs.broadcastMs', 'host.fileGBps']));
  });

  it('reproduces the time of the run that it was fitted to', () => {
    const { totalMs } = update('host-253MiB', calibrated.topology).run();
    expect(Math.abs(totalMs / calibrated.measuredMs - 1)).toBeLessThan(0.15);
  });

  it('predicts a second run, of another checkpoint', () => {
    const { measuredMs } = calibrate({ trace: read('host-631MiB'), topology: host });
    const { totalMs } = update('host-631MiB', calibrated.topology).run();
    expect(Math.abs(totalMs / measuredMs - 1)).toBeLessThan(0.15);
  });

  it('determines the times of a worker whose buckets do not overlap', () => {
    const { buckets, run } = update('host-631MiB', {
      ...host,
      costs: { ...host.costs, bucketMs: 4, bucketExpertsMs: 0, tensorMs: 0.5 },
    });
    const { steps } = run();
    const traceEvents = [
      { name: 'plan', ph: 'X', pid: 0, cat: 'phases', ts: 0, dur: 1000 },
      { name: 'stream', ph: 'X', pid: 0, cat: 'phases', ts: 1000, dur: 1e6 },
      ...steps
        .filter(({ stage }) => stage === 'reload')
        .map(({ index, fromMs, toMs, sizeBytes }) => {
          return {
            name: `bucket ${index}`,
            ph: 'X',
            pid: 0,
            cat: 'reload',
            ts: fromMs * 1000,
            dur: (toMs - fromMs) * 1000,
            args: { sizeBytes },
          };
        }),
    ];
    const { topology } = calibrate({ trace: { traceEvents }, topology: host, buckets });
    expect(topology.costs.tensorMs).toBeCloseTo(0.5, 2);
    expect(topology.costs.bucketMs).toBeCloseTo(4, 0);
  });

  it.each([
    [null, 'The trace has no list "traceEvents"'],
    [{ traceEvents: 4 }, 'The trace has no list "traceEvents"'],
    [{ traceEvents: [] }, 'The trace has no phase "plan"'],
    [
      { traceEvents: [{ ph: 'X', cat: 'h2d', name: 'bucket 0', pid: 0, ts: -4, dur: 1 }] },
      'an event without rank, name, time',
    ],
  ])('refuses %j', (trace, what) => {
    expect(() => calibrate({ trace, topology: host })).toThrow(
      expect.objectContaining({ code: 'CE_CONFIG_INVALID', message: expect.stringContaining(what) }),
    );
  });
});
