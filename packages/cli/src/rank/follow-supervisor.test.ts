import { PassThrough } from 'node:stream';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { describe, expect, it } from 'vitest';
import type { ToRank } from '../process/messages.ts';
import { followSupervisor, type RankRequest } from './follow-supervisor.ts';

const update = { type: 'update', update: {} } as unknown as ToRank;
const setUp = (handle: (request: RankRequest) => Promise<void> = async () => {}) => {
  const input = new PassThrough();
  const aborts: CheckpointEngineError[] = [];
  const followed = followSupervisor(input, { handle, abort: (error) => aborts.push(error) });
  followed.catch(() => {});
  return { input, aborts, followed, say: (message: ToRank) => input.write(`${JSON.stringify(message)}\n`) };
};

describe('followSupervisor', () => {
  it('handles one request after the other, and resolves when it is told to close', async () => {
    const log: string[] = [];
    const { say, input, followed } = setUp(async ({ type }) => {
      log.push(`${type} begins`);
      await new Promise((resolve) => setTimeout(resolve, 5));
      log.push(`${type} ends`);
    });
    say({ type: 'open', world: {} } as unknown as ToRank);
    say(update);
    say({ type: 'close' });
    input.end();
    await followed;
    expect(log).toEqual(['open begins', 'open ends', 'update begins', 'update ends']);
  });

  it('aborts at once, while a request is under way', async () => {
    let end!: () => void;
    const { say, aborts } = setUp(
      () =>
        new Promise((resolve) => {
          end = resolve;
        }),
    );
    say(update);
    say({ type: 'abort', error: new CheckpointEngineError('CE_ABORTED', 'Stop', 'Wait').toJSON() });
    await expect.poll(() => aborts.map(({ message }) => message)).toEqual(['Stop']);
    end();
  });

  it('rejects with what a request failed with', async () => {
    const { say, followed } = setUp(async () => {
      throw new RangeError('no');
    });
    say(update);
    await expect(followed).rejects.toThrow('no');
  });

  it('aborts and rejects when the supervisor is gone', async () => {
    const { input, aborts, followed } = setUp();
    input.end();
    await expect(followed).rejects.toMatchObject({ code: 'CE_ABORTED', message: /is gone/ });
    expect(aborts).toHaveLength(1);
  });
});
