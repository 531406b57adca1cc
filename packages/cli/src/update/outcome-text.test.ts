import pico from 'picocolors';
import { describe, expect, it } from 'vitest';
import { outcomeText } from './outcome-text.ts';
import type { UpdateOutcome } from './update-outcome.ts';

const GIB = 2 ** 30;
const outcome: UpdateOutcome = {
  ...{ weightVersion: 'v7', instances: [{ endpoint: 'http://h:1', weightVersionBefore: 'v6', weightVersion: 'v7' }] },
  ...{ checkpoint: 'step-100', worldSize: 2, device: 'cuda', totalBytes: 16 * GIB, tensorCount: 405 },
  ...{
    method: 'buckets',
    methodReason: 'the workers use protocol v1 and cannot report what they keep',
    bucketCount: 40,
    bucketBytes: GIB / 2,
    ringSlots: 3,
    stagingSlots: 2,
  },
  ...{ deviceBytes: 1.5 * GIB, reason: '', removedFiles: [], warnings: [], ranks: [] },
  durationsMs: {
    ...{
      register: 8200,
      gatherMetas: 12,
      plan: 3,
      handshake: 14,
      stream: 620,
      release: 50,
      hook: 20,
      update: 707,
      engine: 0,
    },
  },
};
const plain = pico.createColors(false);

describe('outcomeText', () => {
  it('shows which checkpoint is live, the rate, and where the time went', () => {
    expect(outcomeText(outcome, plain)).toBe(
      [
        '✓ step-100 is live on 2 cuda ranks',
        '  weights  405 tensors, 16 GiB',
        '  version  v7 (before: v6)',
        '  update   707 ms, 22.6 GiB/s of the checkpoint',
        '  of which plan 3 ms, handshake 14 ms, stream 620 ms (88 %), release 50 ms (7 %), post-load hook 20 ms',
        '  before   register 8.2 s, gather metas 12 ms',
        '  method   buckets: the workers use protocol v1 and cannot report what they keep',
        '  memory   40 buckets of at most 512 MiB, 1.5 GiB of device memory per rank',
      ].join('\n'),
    );
  });

  it('shows how long the engine paused, if a pause was requested', () => {
    const paused = { ...outcome, durationsMs: { ...outcome.durationsMs, engine: 702 } };
    expect(outcomeText(paused, plain)).toContain(
      '  update   707 ms, 22.6 GiB/s of the checkpoint, the engine paused for 702 ms\n',
    );
  });

  it.each([50, 80, 120])('wraps lines between their parts at %d columns', (columns) => {
    const text = outcomeText(outcome, plain, columns);
    for (const line of text.split('\n')) expect([...line].length).toBeLessThanOrEqual(columns);
    const unbroken = text.replaceAll(/\n {11}/g, ' ');
    expect(unbroken).toBe(outcomeText(outcome, plain));
  });

  it('wraps colored lines at the same places', () => {
    const colored = outcomeText(outcome, pico.createColors(true), 50);
    expect(colored.split('\n')).toHaveLength(outcomeText(outcome, plain, 50).split('\n').length);
  });

  it('shows what workers kept, removed files, and warnings', () => {
    const rank = {
      rank: 0,
      device: { kind: 'host', uuid: 'h', name: 'h' },
      tensorCount: 1,
      sizeBytes: 1,
      poolBytes: 1,
    } as const;
    const ranks = [4, 6].map((needed) => ({
      ...{ ...rank, registerMs: 0, updateMs: 0, neededBytes: needed * GIB, pulledBytes: GIB },
    }));
    const pulled = {
      ...outcome,
      device: 'host',
      method: 'pull',
      bucketCount: 0,
      ranks,
      removedFiles: ['/dev/shm/a/b'],
      warnings: ['careful'],
    } as const;
    const text = outcomeText(pulled, plain);
    expect(text).toContain('  method   pull: each worker keeps 4 GiB to 6 GiB of 16 GiB, and copies 1 GiB itself\n');
    expect(text).toContain('  memory   no buckets, no memory for the update\n');
    expect(text).toContain(
      '  removed  1 file that was used in place: /dev/shm/a/b (--keep-files keeps them)\n  ! careful',
    );
  });
});
