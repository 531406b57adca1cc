import { PassThrough } from 'node:stream';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { describe, expect, it } from 'vitest';
import type { ToRank } from '../process/messages.ts';
import { followSupervisor, type SupervisorHandlers } from './follow-supervisor.ts';

const open = { type: 'open', world: {} } as unknown as ToRank;
const callOf = (id: number): ToRank => ({ type: 'call', id, name: 'update', request: {} });
const setUp = (handlers: Partial<SupervisorHandlers> = {}) => {
  const input = new PassThrough();
  const aborts: [string, number | undefined][] = [];
  const followed = followSupervisor(input, {
    open: async () => {},
    call: async () => {},
    ping: () => {},
    abort: (error, id) => aborts.push([error.message, id]),
    ...handlers,
  });
  followed.catch(() => {});
  return { input, aborts, followed, say: (message: ToRank) => input.write(`${JSON.stringify(message)}\n`) };
};
const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

describe('followSupervisor', () => {
  it('joins first, runs calls at the same time, and resolves after close when all calls have ended', async () => {
    const log: string[] = [];
    const { say, input, followed } = setUp({
      open: async () => {
        await pause();
        log.push('opened');
      },
      call: async ({ id }) => {
        log.push(`${id} begins`);
        await pause();
        log.push(`${id} ends`);
      },
    });
    say(open);
    say(callOf(1));
    say(callOf(2));
    say({ type: 'close' });
    input.end();
    await followed;
    expect(log).toEqual(['opened', '1 begins', '2 begins', '1 ends', '2 ends']);
  });

  it('aborts one call or all calls at once', async () => {
    const { say, aborts } = setUp({ call: () => new Promise(() => {}) });
    const error = new CheckpointEngineError('CE_ABORTED', 'Stop', 'Wait').toJSON();
    say(callOf(7));
    say({ type: 'abort', id: 7, error });
    say({ type: 'abort', error });
    await expect
      .poll(() => aborts)
      .toEqual([
        ['Stop', 7],
        ['Stop', undefined],
      ]);
  });

  it('rejects with the error that prevented it from joining', async () => {
    const { say, followed } = setUp({
      open: async () => {
        throw new RangeError('no');
      },
    });
    say(open);
    await expect(followed).rejects.toThrow('no');
  });

  it('aborts and rejects when the supervisor is gone', async () => {
    const { input, aborts, followed } = setUp();
    input.end();
    await expect(followed).rejects.toMatchObject({ code: 'CE_ABORTED', message: /is gone/ });
    expect(aborts).toHaveLength(1);
  });
});
