import { describe, expect, it } from 'vitest';
import type { UpdateBody } from './bodies.ts';
import { joinedUpdate } from './update-request.ts';

const joined = (...bodies: Partial<UpdateBody>[]) =>
  joinedUpdate(
    new Map(bodies.map((body, rank) => [rank, { ranks: [], inference_group_ranks: [], timeout: 300, ...body }])),
  );
const url = 'http://e/collective_rpc';

describe('joinedUpdate', () => {
  it('asks the engines of ranks that name one, each for its ranks', () => {
    expect(
      joined(
        { update_url: url, inference_group_ranks: [0, 1] },
        {},
        { update_url: `${url}2`, uds: '/s', inference_group_ranks: [2] },
      ),
    ).toEqual({
      ...{ ranks: [], inferenceGroupRanks: [], timeoutMs: 600_000 },
      engines: [
        { updateUrl: url, uds: undefined, ranks: [0, 1], timeoutMs: 300_000 },
        { updateUrl: `${url}2`, uds: '/s', ranks: [2], timeoutMs: 300_000 },
      ],
    });
  });

  it('sends an engine all addresses if no group is named', () => {
    expect(joined({ update_url: url }, { update_url: null }).engines).toMatchObject([{ ranks: [] }]);
  });

  it('does not ask engines of ranks that do not receive', () => {
    expect(joined({ ranks: [1], update_url: url }, { ranks: [1], update_url: `${url}2` }).engines).toMatchObject([
      { updateUrl: `${url}2` },
    ]);
  });

  it('takes longer than the longest request to an engine', () => {
    expect(joined({ update_url: url, timeout: 1200 }).timeoutMs).toBeGreaterThan(1_200_000);
  });

  it.each([
    [[{ ranks: [0] }, { ranks: [1] }], 'ranks [0], and rank 1 ranks [1]'],
    [[{ ranks: [2], update_url: url }, { ranks: [2] }], 'rank 2'],
    [[{ update_url: url, inference_group_ranks: [0] }, {}], 'ranks [1]'],
    [[{ update_url: null }, {}], 'ranks [0, 1]'],
    [[{ update_url: url, ranks: [0], inference_group_ranks: [1] }, { ranks: [0] }], 'does not receive'],
    [[{ update_url: 'ftp://x' }, {}], 'ftp://x'],
    [[{ update_url: 'http://[' }, {}], 'http://['],
  ])('refuses %j', (bodies, text) => {
    expect(() => joined(...bodies)).toThrow(expect.objectContaining({ message: expect.stringContaining(text) }));
  });
});
