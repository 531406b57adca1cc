import type { UpdateOrder } from '@checkpoint-engine/ps/http';
import { describe, expect, it } from 'vitest';
import { updateTargets } from './update-targets.ts';

const targets = { engine: 'vllm', endpoints: ['http://a', 'http://b'], uds: [], parallelSize: 2 } as const;
const ask = (ranks: readonly number[]) =>
  updateTargets({ ranks, inferenceGroupRanks: [] } as unknown as UpdateOrder, { engine: 'vllm', targets }, 4);

describe('updateTargets', () => {
  it('takes whole engines', () => {
    for (const ranks of [[], [0, 1], [2, 3], [3, 1, 0, 2]]) expect(ask(ranks)).toBe(targets);
  });

  it.each([
    [[0, 1, 4], 'ranks names rank 4, and this world has ranks 0 to 3'],
    [[0, 1, 2], 'leaves out rank 3, whose engine spans 2 ranks'],
  ])('refuses ranks %j', (ranks, message) => {
    expect(() => ask(ranks)).toThrow(
      expect.objectContaining({ code: 'CE_CONFIG_INVALID', message: expect.stringContaining(message) }),
    );
  });
});
