import type { TensorSpec } from '@checkpoint-engine/meta';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { presetTopology } from './cluster/presets.ts';
import type { ClusterTopology } from './cluster/topology.ts';
import type { LinkUse, SimulationResult } from './result.ts';
import type { MethodName, Scenario } from './scenario.ts';
import { simulate } from './simulate.ts';

/** A small model with everything that rules distinguish. */
const tensorsOf = (layers: number, experts: number): TensorSpec[] => [
  { name: 'model.embed_tokens.weight', dtype: 'BF16', shape: [4096, 512] },
  ...Array.from({ length: layers }, (_, layer): TensorSpec[] => {
    const name = `model.layers.${layer}`;
    return [
      { name: `${name}.input_layernorm.weight`, dtype: 'BF16', shape: [512] },
      { name: `${name}.self_attn.q_proj.weight`, dtype: 'BF16', shape: [2048, 512] },
      { name: `${name}.self_attn.k_proj.weight`, dtype: 'BF16', shape: [256, 512] },
      { name: `${name}.self_attn.o_proj.weight`, dtype: 'BF16', shape: [512, 2048] },
      ...Array.from({ length: experts }, (_, expert): TensorSpec[] => [
        { name: `${name}.mlp.experts.${expert}.up_proj.weight`, dtype: 'BF16', shape: [256, 512] },
        { name: `${name}.mlp.experts.${expert}.down_proj.weight`, dtype: 'BF16', shape: [512, 256] },
      ]).flat(),
    ];
  }).flat(),
];

interface Given {
  readonly method: MethodName;
  readonly hosts: number;
  readonly gpusPerHost: number;
  readonly layers: number;
  readonly experts: number;
  readonly source: NonNullable<Scenario['source']>;
  readonly rates: readonly number[];
}

const given: fc.Arbitrary<Given> = fc.record({
  method: fc.constantFrom<MethodName>('broadcast', 'pull', 'python-broadcast', 'python-p2p', 'python-p2p-first'),
  hosts: fc.integer({ min: 1, max: 4 }),
  gpusPerHost: fc.constantFrom(1, 2, 4),
  layers: fc.integer({ min: 1, max: 4 }),
  experts: fc.constantFrom(0, 4),
  source: fc.constantFrom('memory', 'files', 'shared-files'),
  rates: fc.array(fc.integer({ min: 1, max: 100 }), { minLength: 6, maxLength: 6 }),
});

function topologyOf({ hosts, gpusPerHost, rates }: Given, factor = 1): ClusterTopology {
  const base = presetTopology('h100');
  const [pcieGBps, nvlinkGBps, memoryGBps, nicGBps, fileGBps, sharedFileGBps] = rates.map((rate) => rate * factor);
  return {
    ...base,
    hosts,
    gpusPerHost,
    gpu: { ...base.gpu, pcieGBps: pcieGBps!, nvlinkGBps: nvlinkGBps! },
    host: { ...base.host, nics: gpusPerHost, memoryGBps: memoryGBps!, nicGBps: nicGBps!, fileGBps: fileGBps! },
    network: { spineGBps: 0, sharedFileGBps: sharedFileGBps! },
  };
}

function run(one: Given, factor = 1): SimulationResult {
  const worldSize = one.hosts * one.gpusPerHost;
  return simulate({
    topology: topologyOf(one, factor),
    model: { title: 'test', tensors: tensorsOf(one.layers, one.experts) },
    method: one.method,
    worldSize,
    layout: { tp: one.gpusPerHost, ep: 1, pp: 1, rules: [] },
    source: one.method.startsWith('python-') ? 'memory' : one.source,
    bucketBytes: 2 ** 22,
    ...(one.method.startsWith('python-p2p') ? { receivers: worldSize } : {}),
  });
}

const sum = (links: readonly LinkUse[], kind: LinkUse['kind']): number =>
  links.filter((link) => link.kind === kind).reduce((total, { sizeBytes }) => total + sizeBytes, 0);
const stageBytes = ({ stages }: SimulationResult, stage: string): number =>
  stages.find((one) => one.stage === stage)?.sizeBytes ?? 0;

describe('simulate', () => {
  it('returns equal results for equal input', () => {
    fc.assert(
      fc.property(given, (one) => {
        expect(run(one)).toEqual(run(one));
      }),
      { numRuns: 20 },
    );
  });

  it('is never faster than its links', () => {
    fc.assert(
      fc.property(given, (one) => {
        const { links, totalMs } = run(one);
        for (const { sizeBytes, rateGBps, utilization, busyMs } of links) {
          expect(sizeBytes / (rateGBps * 1e6)).toBeLessThanOrEqual(totalMs * (1 + 1e-9));
          expect(utilization).toBeLessThanOrEqual(1 + 1e-9);
          expect(busyMs).toBeLessThanOrEqual(totalMs * (1 + 1e-9));
        }
      }),
      { numRuns: 60 },
    );
  });

  it('is not slower with faster links', () => {
    fc.assert(
      fc.property(given, fc.integer({ min: 2, max: 10 }), (one, factor) => {
        expect(run(one, factor).totalMs).toBeLessThanOrEqual(run(one).totalMs * (1 + 1e-9));
      }),
      { numRuns: 60 },
    );
  });

  it('carries the bytes of the plan over its links', () => {
    fc.assert(
      fc.property(given, (one) => {
        const result = run(one);
        const near = (bytes: number, wanted: number): void => {
          expect(Math.abs(bytes - wanted)).toBeLessThanOrEqual(1e-6 * Math.max(1, wanted));
        };
        if (one.method === 'pull') {
          near(sum(result.links, 'pcie'), stageBytes(result, 'pull'));
          if (one.source === 'memory') {
            near(sum(result.links, 'nic-in'), stageBytes(result, 'read'));
            near(sum(result.links, 'memory'), stageBytes(result, 'pull') + 2 * stageBytes(result, 'read'));
          }
        } else if (one.method === 'python-broadcast' || one.method === 'broadcast') {
          const moved = stageBytes(result, 'h2d');
          expect(moved).toBeGreaterThanOrEqual(result.totalBytes);
          expect(moved).toBeLessThanOrEqual(result.totalBytes * 1.01 + 256 * result.tensorCount);
          if (one.hosts === 1) {
            near(sum(result.links, 'pcie'), moved);
            near(sum(result.links, 'nvlink'), moved * (one.gpusPerHost - 1));
          }
        } else {
          if (one.hosts === 1) {
            near(sum(result.links, 'nic-in'), stageBytes(result, 'read'));
            near(sum(result.links, 'nic-out'), stageBytes(result, 'read'));
          }
          expect(stageBytes(result, 'read')).toBeGreaterThanOrEqual(result.totalBytes);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('lets each rank keep its part, and all ranks of an instance the complete model', () => {
    fc.assert(
      fc.property(given, (one) => {
        const result = run({ ...one, method: 'pull', source: 'memory', hosts: 1 });
        // Replicated and shared parts are kept by several ranks.
        expect(stageBytes(result, 'pull')).toBeGreaterThanOrEqual(result.totalBytes * (1 - 1e-9));
        if (one.gpusPerHost === 1) expect(stageBytes(result, 'pull')).toBe(result.totalBytes);
      }),
      { numRuns: 20 },
    );
  });

  it('reads each byte from other hosts once per host', () => {
    const one: Given = {
      ...{ method: 'pull', hosts: 4, gpusPerHost: 4, layers: 4, experts: 4, source: 'memory' },
      rates: [50, 300, 400, 40, 10, 40],
    };
    const result = run(one);
    const read = stageBytes(result, 'read');
    expect(read).toBeLessThanOrEqual(result.totalBytes * 1.02);
    expect(read).toBeGreaterThan(result.totalBytes * 0.6);
    expect(sum(result.links, 'nic-out')).toBeCloseTo(sum(result.links, 'nic-in'), -1);
  });

  it.each<MethodName>(['pull', 'p2p'])('lets ranks join by %s, and reads each byte once', (method) => {
    const one: Given = {
      ...{ method, hosts: 3, gpusPerHost: 4, layers: 4, experts: 4, source: 'memory' },
      rates: [50, 300, 400, 40, 10, 40],
    };
    const result = simulate({
      topology: topologyOf(one),
      model: { title: 'test', tensors: tensorsOf(one.layers, one.experts) },
      ...{ method, worldSize: 8, joining: 4, bucketBytes: 2 ** 22 },
      layout: { tp: 4, ep: 1, pp: 1, rules: [] },
    });
    expect(result).toMatchObject({ ranks: 12, receivers: 4 });
    expect(stageBytes(result, 'read')).toBeGreaterThanOrEqual(result.totalBytes);
    expect(stageBytes(result, 'read')).toBeLessThanOrEqual(result.totalBytes * 1.02);
    expect(sum(result.links, 'nic-in')).toBeCloseTo(stageBytes(result, 'read'), -1);
    const isJoined = result.links.filter(({ kind }) => kind === 'nic-in' || kind === 'pcie');
    for (const { name } of isJoined) expect(name).toMatch(/^host 2 /);
  });

  it('divides experts over ranks, so that a host reads a part of the model', () => {
    const one: Given = {
      ...{ method: 'pull', hosts: 4, gpusPerHost: 2, layers: 4, experts: 8, source: 'memory' },
      rates: [50, 300, 400, 40, 10, 40],
    };
    const readBytes = (ep: number): number => {
      const model = { title: 'test', tensors: tensorsOf(one.layers, one.experts) };
      const layout = { tp: 2, ep, pp: 1, rules: [] };
      const result = simulate({ topology: topologyOf(one), model, method: 'pull', worldSize: 8, layout });
      return stageBytes(result, 'read');
    };
    // Four hosts are simulated instead of one, each of which keeps a quarter of the experts.
    expect(readBytes(8) / 4).toBeLessThan(readBytes(1) * 0.7);
  });
});
