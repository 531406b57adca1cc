import { CheckpointEngineError, silentLogger } from '@checkpoint-engine/interface';
import { describe, expect, it } from 'vitest';
import type { RankRegisterRequest } from '../config/requests.ts';
import type { RegisteredFiles } from '../process/messages.ts';
import type { AskRanks } from './call-ranks.ts';
import { Catalog, CatalogEntry } from './catalog.ts';
import type { RankSlot } from './rank-slot.ts';
import { recoverRank } from './recover-rank.ts';

const SHARE = {
  tensorCount: 1,
  sizeBytes: 4,
  poolBytes: 256,
  fingerprint: 'f',
  warnings: [],
} as object as RegisteredFiles;
const slot = { rank: 0, isRunning: true } as RankSlot;

/** A catalog of checkpoints that rank 0 held before it was restarted. */
function catalogOf(...names: string[]): Catalog {
  const catalog = new Catalog();
  for (const name of names) {
    const request: RankRegisterRequest = { name, files: `/${name}`, keepFiles: false, stream: false };
    const entry = new CatalogEntry(name, request, 1, 1_000);
    entry.noteRegistered(0, SHARE, false);
    catalog.add(entry);
  }
  return catalog;
}

/** Answers the calls of a rank that holds checkpoints; `during` runs while the rank registers one. */
function rank(during: (name: string) => unknown = () => {}) {
  const held = new Set<string>();
  const ask = (async (_, call, request, __, options) => {
    const { name } = request as { name: string };
    if (call === 'unregister') held.delete(name);
    if (call !== 'register') return [null];
    await during(name);
    options?.signal?.throwIfAborted();
    held.add(name);
    return [SHARE];
  }) as AskRanks;
  return { held, ask };
}

function remove(catalog: Catalog, name: string): void {
  const entry = catalog.get(name);
  entry.registration.abort(new CheckpointEngineError('CE_ABORTED', 'It was deleted', 'Do nothing'));
  catalog.delete(entry);
}

describe('recoverRank', () => {
  it('registers all checkpoints again', async () => {
    const { held, ask } = rank();
    await recoverRank(slot, catalogOf('a', 'b'), ask, silentLogger);
    expect([...held]).toEqual(['a', 'b']);
  });

  it('does not register a checkpoint that was deleted before its turn', async () => {
    const catalog = catalogOf('a', 'b');
    const { held, ask } = rank((name) => name === 'a' && remove(catalog, 'b'));
    await recoverRank(slot, catalog, ask, silentLogger);
    expect([...held]).toEqual(['a']);
  });

  it('releases a checkpoint that is deleted while it is registered', async () => {
    const catalog = catalogOf('a', 'b');
    const { held, ask } = rank((name) => name === 'a' && catalog.delete(catalog.get('a')));
    await recoverRank(slot, catalog, ask, silentLogger);
    expect([...held]).toEqual(['b']);
  });

  it('releases a checkpoint whose deletion was requested before, and reports no lost share', async () => {
    const catalog = catalogOf('a', 'b');
    const entry = catalog.get('a');
    const { held, ask } = rank((name) => name === 'a' && remove(catalog, 'a'));
    await recoverRank(slot, catalog, ask, silentLogger);
    expect([[...held], entry.state]).toEqual([['b'], 'registered']);
  });

  it('releases a share that its rank alone dropped', async () => {
    const catalog = new Catalog();
    const entry = new CatalogEntry('a', undefined, 1, 1_000);
    catalog.add(entry);
    entry.beginAt(0);
    entry.noteRegisteredAt(0, { name: 'a', files: ['/a'], share: 'all', keepFiles: false, stream: false }, SHARE);
    const { held, ask } = rank(() => entry.dropAt(0));
    await recoverRank(slot, catalog, ask, silentLogger);
    expect([...held]).toEqual([]);
  });

  it('marks a share as lost that cannot be registered', async () => {
    const catalog = catalogOf('a', 'b');
    const { held, ask } = rank((name) => {
      if (name === 'a') throw new CheckpointEngineError('CE_FILE_NOT_FOUND', 'The file is gone', 'Write it again');
    });
    await recoverRank(slot, catalog, ask, silentLogger);
    expect([[...held], catalog.get('a').state, catalog.get('b').state]).toEqual([['b'], 'lost', 'registered']);
  });
});
