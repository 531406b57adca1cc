import type { UpdateRequest } from '@checkpoint-engine/http';
import { describe, expect, it } from 'vitest';
import { endpointsOf, updateTargets } from './update-targets.ts';

const targets = { engine: 'vllm', endpoints: ['http://a', 'http://b'], uds: [], parallelSize: 2 } as const;
const ask = (
  change: Partial<UpdateRequest>,
  defaults: Parameters<typeof updateTargets>[1] = { engine: 'vllm', targets },
) =>
  updateTargets(
    { ranks: [], inferenceGroupRanks: [], timeoutMs: 1000, ...change },
    defaults,
    4,
    (rank) => `GPU-${rank}`,
  );

describe('updateTargets', () => {
  it('are whole engines of the server if the update names none', () => {
    for (const ranks of [[], [0, 1], [2, 3], [3, 1, 0, 2]]) expect(ask({ ranks })).toBe(targets);
  });

  it('are that of update_url, for any ranks that receive', () => {
    for (const ranks of [[], [2, 3], [1, 2]]) {
      expect(ask({ ranks, updateUrl: 'http://h/x', inferenceGroupRanks: ranks }).parallelSize).toBeUndefined();
    }
  });

  it.each([
    ['http://h:1/collective_rpc', ['http://h:1'], '/collective_rpc'],
    ['http://h:1/behind/a/proxy/collective_rpc', ['http://h:1/behind/a/proxy'], '/collective_rpc'],
    ['http://h:1/inference', ['http://h:1'], '/inference'],
    ['http://h:1/inference?model=a', ['http://h:1'], '/inference?model=a'],
  ])('split %s into address and path', (updateUrl, endpoints, updatePath) =>
    expect(ask({ updateUrl })).toMatchObject({ engine: 'vllm', endpoints, updatePath, uds: [] }),
  );

  it.each([
    [{ ranks: [0, 1, 4] }, 'has rank 4, but this world has ranks 0 to 3'],
    [{ ranks: [0, 1, 2] }, 'leaves out rank 3, whose engine spans 2 ranks'],
    [{ updateUrl: 'http://h/x', inferenceGroupRanks: [0, 1] }, 'inference_group_ranks is [0, 1]'],
  ])('refuse %j', (change, message) => {
    expect(() => ask(change)).toThrow(
      expect.objectContaining({ code: 'CE_CONFIG_INVALID', message: expect.stringContaining(message) }),
    );
  });

  it.each([
    [{ updateUrl: 'http://a/collective_rpc' }, false],
    [{ updateUrl: 'http://a:81/collective_rpc' }, true],
    [{ updateUrl: 'http://a.example/collective_rpc' }, true],
    [{ updateUrl: 'http://a/collective_rpc', uds: '/engine.sock' }, true],
    [{ uds: '/engine.sock' }, true],
  ])('keep the API key from engines that only the client knows: %j', (change, isFromClient) =>
    expect(ask(change).isFromClient).toBe(isFromClient),
  );

  it('are engines that were named one by one, with the devices of their ranks', () => {
    const engines = [
      { updateUrl: 'http://a/collective_rpc', ranks: [0, 1], timeoutMs: 5 },
      { updateUrl: 'http://h/x', uds: '/h.sock', ranks: [], timeoutMs: 7 },
    ];
    expect(ask({ engines }).named).toEqual([
      {
        ...{ endpoints: ['http://a'], updatePath: '/collective_rpc', uds: [], isFromClient: false },
        ...{ deviceUuids: ['GPU-0', 'GPU-1'], timeoutMs: 5 },
      },
      {
        ...{ endpoints: ['http://h'], updatePath: '/x', uds: ['/h.sock'], isFromClient: true },
        ...{ deviceUuids: [], timeoutMs: 7 },
      },
    ]);
  });

  it('fail if there are none', () => expect(() => ask({}, { engine: 'vllm' })).toThrow(/has no update_url/));
});

describe('endpointsOf', () => {
  const targets = { engine: 'vllm', endpoints: ['http://a', 'http://b'], uds: [], parallelSize: 2 } as const;

  it.each([
    [
      'all ranks',
      targets,
      [0, 1, 2, 3],
      [
        [0, 0, 'http://a'],
        [1, 2, 'http://b'],
      ],
    ],
    ['the ranks of one engine', targets, [3, 2], [[1, 2, 'http://b']]],
    ['one engine for all', { ...targets, parallelSize: undefined }, [1, 0], [[0, 0, 'http://a']]],
    ['no engine', undefined, [0], []],
    [
      'engines that were named',
      { engine: 'vllm', endpoints: [], uds: [], named: ['http://c', 'http://d'].map((url) => named(url)) } as const,
      [1, 2],
      [
        [0, 1, 'http://c'],
        [1, 1, 'http://d'],
      ],
    ],
  ])('names the engines of %s', (_, of, ranks, wanted) => {
    const found = endpointsOf(of, ranks).map(({ groupIndex, rank, endpoint }) => [groupIndex, rank, endpoint]);
    expect(found).toEqual(wanted);
  });
});

function named(url: string) {
  return { endpoints: [url], uds: [], isFromClient: false, deviceUuids: [], timeoutMs: 1 };
}
