import { Buffer } from 'node:buffer';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { serveHub, socketLink } from './socket-link.ts';
import { StoreHub } from './store-hub.ts';
import { TestStore } from './test-store.ts';

describe('a hub behind a socket', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'hub-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('loses a member whose connection ends during a request, and continues with the others', async () => {
    const path = join(folder, 'hub');
    const hub = new StoreHub();
    const server = serveHub(hub, path);
    const link = await socketLink(path, 0);
    const store = new TestStore(link, 0, 2);
    const alone = store.epoch('alone', [0]);
    const waiting = store.epoch('all').wait('never');

    const cut = connect(path);
    cut.end('{"rank":1}\n{"id":0,"call":{"op":"set","value":"');
    await expect(waiting).rejects.toMatchObject({ code: 'CE_RANK_LOST', lostRank: 1 });

    const big = new Uint8Array(1_000_000).fill(7);
    await alone.set('big', big);
    expect(Buffer.compare(big, (await alone.get('big'))!)).toBe(0);
    await link.close();
    server.close();
  });
});
