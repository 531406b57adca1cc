import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { describe, expect, it } from 'vitest';
import { hubLink } from './hub-link.ts';
import { StoreHub } from './store-hub.ts';
import { TestStore } from './test-store.ts';

function stores(size: number) {
  const hub = new StoreHub();
  return { hub, all: Array.from({ length: size }, (_, rank) => new TestStore(hubLink(hub, rank), rank, size)) };
}

const bytes = (...values: number[]) => Uint8Array.from(values);
const pause = () => new Promise((resolve) => setTimeout(resolve, 10));

describe('TestStore', () => {
  it('sets, gets, waits and counts, epoch by epoch', async () => {
    const { all } = stores(2);
    const [a, b] = all.map((store) => store.epoch('one'));
    const waiting = b!.wait('key');
    expect(await b!.get('key')).toBeUndefined();
    await a!.set('key', bytes(1, 2, 3));
    expect(await waiting).toEqual(bytes(1, 2, 3));
    expect(await b!.get('key')).toEqual(bytes(1, 2, 3));
    expect(await all[0]!.epoch('two').get('key')).toBeUndefined();
    expect(await a!.add('count', 2)).toBe(2);
    expect(await b!.add('count', 3)).toBe(5);
  });

  it('gathers in the order of the members, round by round', async () => {
    const { all } = stores(3);
    const part = [all[2]!, all[0]!].map((store) => store.epoch('part', [2, 0]));
    for (let round = 0; round < 3; round++) {
      const gathered = await Promise.all(part.map((store) => store.allGather('x', bytes(store.rank, round))));
      expect(gathered).toEqual(part.map(() => [bytes(0, round), bytes(2, round)]));
    }
  });

  it('blocks a barrier until all members have called it', async () => {
    const { all } = stores(2);
    let passed = false;
    const first = all[0]!.barrier('b').then(() => {
      passed = true;
    });
    await pause();
    expect(passed).toBe(false);
    await all[1]!.barrier('b');
    await first;
  });

  it('times out, and aborts when a signal fires', async () => {
    const { all } = stores(2);
    await expect(all[0]!.wait('never', { timeoutMs: 10 })).rejects.toMatchObject({ code: 'CE_TIMEOUT' });
    const aborted = all[0]!.wait('never', { signal: AbortSignal.abort() });
    await expect(aborted).rejects.toMatchObject({ code: 'CE_ABORTED' });
  });

  it('reports a lost rank only to its fellow members', async () => {
    const { all, hub } = stores(3);
    const [with2, without2] = [all[0]!.epoch('all'), all[0]!.epoch('part', [0, 1])];
    const waiting = with2.wait('never');
    hub.lose(2);
    await expect(waiting).rejects.toMatchObject({ code: 'CE_RANK_LOST', lostRank: 2 });
    expect(with2.signal.reason).toMatchObject({ lostRank: 2 });
    await expect(all[1]!.epoch('later').wait('never')).rejects.toMatchObject({ lostRank: 2 });
    expect(without2.signal.aborted).toBe(false);
  });

  it('reports the first abort to all members', async () => {
    const { all } = stores(2);
    const [a, b] = all.map((store) => store.epoch('one'));
    const waiting = b!.wait('never');
    await a!.abort(new CheckpointEngineError('CE_FILE_INVALID', 'First', 'Look'));
    await a!.abort(new Error('Second'));
    await expect(waiting).rejects.toMatchObject({ code: 'CE_FILE_INVALID', message: 'First' });
    await expect(a!.get('key')).rejects.toMatchObject({ message: 'First' });
    expect(all[1]!.signal.aborted).toBe(false);
  });

  it('forgets an epoch that all have closed', async () => {
    const { all } = stores(2);
    const epochs = all.map((store) => store.epoch('one'));
    await epochs[0]!.set('key', bytes(1));
    await Promise.all(epochs.map((store) => store.close()));
    await expect(epochs[0]!.get('key')).rejects.toMatchObject({ code: 'CE_CLOSED' });
    expect(await all[0]!.epoch('one').get('key')).toBeUndefined();
  });
});
