import { parseRules } from '@checkpoint-engine/planner';
import { describe, expect, it } from 'vitest';
import { checkTopology } from './cluster/check-topology.ts';
import { presetTopology } from './cluster/presets.ts';
import { publishedModel } from './published-model.ts';
import type { Scenario } from './scenario.ts';
import { simulate } from './simulate.ts';
import { sweep } from './sweep.ts';

const refused = (what: string | RegExp) =>
  expect.objectContaining({ code: 'CE_CONFIG_INVALID', message: expect.stringMatching(what) });

describe('checkTopology', () => {
  it('accepts a preset and its overrides', () => {
    const topology = checkTopology({ preset: 'h20', hosts: 2, gpu: { pcieGBps: 25 } });
    expect(topology).toMatchObject({ hosts: 2, gpusPerHost: 8, gpu: { name: 'H20', pcieGBps: 25 } });
  });

  it.each([
    [null, /The topology is null, expected an object/],
    [[], /The topology is \[\], expected an object/],
    [{ preset: 'h900' }, /preset of the topology is "h900", expected one of h800, h20, h100, h200, b200/],
    [{ preset: 'h20', gpus: 8 }, /unknown field gpus/],
    [{ preset: 'h20', gpu: { pcie: 1 } }, /unknown field gpu\.pcie/],
    [{ preset: 'h20', gpu: 8 }, /gpu of the topology is 8, expected an object/],
    [{ preset: 'h20', gpu: { pcieGBps: -50 } }, /gpu\.pcieGBps of the topology is -50, expected a number above 0/],
    [{ preset: 'h20', gpu: { pcieGBps: 0 } }, /gpu\.pcieGBps of the topology is 0/],
    [{ preset: 'h20', gpu: { pcieGBps: '50' } }, /gpu\.pcieGBps of the topology is "50"/],
    [
      { preset: 'h20', costs: { tensorMs: -1 } },
      /costs\.tensorMs of the topology is -1, expected a number of 0 or more/,
    ],
    [{ preset: 'h20', hosts: 1.5 }, /hosts of the topology is 1\.5, expected an integer of 1 to 1,000,000/],
    [{ preset: 'h20', gpusPerHost: 0 }, /gpusPerHost of the topology is 0/],
    [{ preset: 'h20', hosts: 2, host: { nics: 0 } }, /2 hosts without NICs/],
    [{ preset: 'h20', host: { nics: 3 } }, /3 NICs for 8 GPUs/],
    [{ preset: 'h20', host: { gpusPerSwitch: 3 } }, /gpusPerSwitch of the topology is 3, which does not divide 8/],
    [{ preset: 'h20', gpu: { freeGB: 200 } }, /freeGB of the topology is 200, more than/],
    [{ name: 'own' }, /The topology has no hosts/],
  ])('refuses %j', (value, what) => {
    expect(() => checkTopology(value)).toThrow(refused(what));
  });
});

describe('simulate', () => {
  const scenario: Scenario = {
    topology: { ...presetTopology('h100'), hosts: 2 },
    model: publishedModel('qwen3-8b'),
    method: 'broadcast',
    worldSize: 16,
    layout: { tp: 8, ep: 1, pp: 1, rules: [] },
  };
  const hosts = (count: number): Partial<Scenario> => ({ topology: { ...scenario.topology, hosts: count } });

  it.each<[Partial<Scenario>, RegExp]>([
    [{ method: 'magic' as 'pull' }, /The method is "magic", expected one of broadcast, pull/],
    [{ source: 'tape' as 'files' }, /The source is "tape"/],
    [{ worldSize: 0 }, /worldSize is 0, expected an integer of 1 or more/],
    [{ worldSize: 12 }, /12 ranks of the world do not fill hosts of 8 GPUs/],
    [{ worldSize: 24 }, /24 ranks need 3 hosts of 8 GPUs, but the topology has 2/],
    [{ worldSize: 1e6, ...hosts(1e6) }, /1000000 ranks, expected at most 16384/],
    [{ layout: { tp: 3, ep: 1, pp: 1, rules: [] } }, /16 ranks do not divide into instances of 3 ranks/],
    [{ layout: { tp: 8, ep: 12, pp: 1, rules: [] } }, /ep is 12, expected a multiple of tp, 8/],
    [{ layout: { tp: 0, ep: 1, pp: 1, rules: [] } }, /tp is 0/],
    [{ bucketBytes: -1 }, /bucketBytes is -1, expected above 0/],
    [{ model: { title: 'none', tensors: [] } }, /The model none has no tensors/],
    [{ joining: 8, ...hosts(3) }, /cannot receive with the method broadcast, expected pull or p2p/],
    [{ method: 'p2p' }, /The method p2p needs ranks that join/],
    [{ method: 'python-p2p', receivers: 32 }, /32 ranks of 16 cannot receive/],
    [{ receivers: 8 }, /The method broadcast does not support a choice of receivers/],
    [{ method: 'python-broadcast', source: 'files' }, /cannot update from files/],
  ])('refuses %j', (change, what) => {
    expect(() => simulate({ ...scenario, ...change })).toThrow(refused(what));
  });

  it('names the largest tensor that does not fit', () => {
    const small = { ...scenario.topology, gpu: { ...scenario.topology.gpu, freeGB: 0.5 } };
    expect(() => simulate({ ...scenario, topology: small })).toThrow(
      expect.objectContaining({ code: 'CE_PLAN_MEMORY_TOO_SMALL' }),
    );
  });

  it('refuses a sweep of no or too many values', () => {
    const many = Array.from({ length: 65 }, (_, index) => index + 1);
    expect(() => sweep(scenario, 'nics', [])).toThrow(refused(/The sweep has 0 values, expected 1 to 64/));
    expect(() => sweep(scenario, 'nics', many)).toThrow(refused(/The sweep has 65 values/));
  });
});

describe('publishedModel and parseRules', () => {
  it('refuses an unknown model', () => {
    expect(() => publishedModel('gpt-9')).toThrow(refused(/Unknown model "gpt-9", expected one of qwen3-8b/));
  });

  it.each([
    ['rules', /expected a list/],
    [[{ split: 'row' }], /Rule 1 of the layout has no match/],
    [[{ match: '(', split: 'row' }], /Rule 1 of the layout has the match "\("/],
    [[{ match: 'a', split: 'diagonal' }], /split "diagonal", expected one of column, row, expert, replicated/],
    [[{ match: 'a', split: 'row', unitRows: 0 }], /unitRows 0/],
    [[{ match: 'a', split: 'row', unit: 1 }], /unknown field unit/],
  ])('refuses rules %j', (rules, what) => {
    expect(() => parseRules(rules)).toThrow(refused(what));
  });
});
