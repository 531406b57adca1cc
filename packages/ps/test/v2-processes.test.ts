import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { createHostDevice, type HostDevice } from '@checkpoint-engine/device';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { digestsOf, Peer, Sender, testTensor } from './v2-support.ts';

const deno = fileURLToPath(new URL('../../../node_modules/.bin/deno', import.meta.url));
const buckets = Array.from({ length: 8 }, (_, b) => [
  testTensor(`layer.${b}.weight`, [257, 129], 'BF16'),
  testTensor(`layer.${b}.bias`, [129]),
  testTensor(`layer.${b}.scale`, []),
]);

describe('sender and worker in two processes', () => {
  let device: HostDevice;
  let sender: Sender;
  let peer: Peer;
  beforeAll(async () => {
    device = await createHostDevice();
  });
  afterEach(async () => {
    peer.kill();
    await sender.close();
  });
  afterAll(() => device.close());

  it.each([
    ['Node', undefined],
    ['Deno', [deno, 'run', '--allow-all']],
  ])(
    'delivers every byte to a worker in %s, which has unmapped the buffer before its hook runs',
    async (_, command) => {
      sender = await Sender.create(device, 1 << 20, { slots: 3 });
      peer = new Peer('v2-worker.mjs', [sender.session.address], command);
      await sender.send(buckets);
      expect(await peer.event('digests')).toMatchObject({ digests: digestsOf(buckets) });
      expect(await peer.event('open')).toMatchObject({ mapped: true });
      expect(await peer.event('hook')).toMatchObject({ mapped: false });
      await peer.exited;
    },
  );

  it('lets a Deno worker view the bytes', async () => {
    sender = await Sender.create(device, 1 << 20);
    peer = new Peer('v2-worker.mjs', [sender.session.address, '{"viewOnly":true}'], [deno, 'run', '--allow-all']);
    await sender.send(buckets);
    const sums = Object.fromEntries(
      buckets.flat().map(({ name, bytes }) => [name, bytes.reduce((sum, byte) => sum + byte, 0)]),
    );
    expect(await peer.event('sums')).toMatchObject({ sums });
  });

  it('passes on the error and stack of a worker that throws during an update', async () => {
    sender = await Sender.create(device, 1 << 20);
    peer = new Peer('v2-worker.mjs', [sender.session.address, '{"throwAt":4}']);
    await expect(sender.send(buckets)).rejects.toMatchObject({
      code: 'CE_WORKER_FAILED',
      message: expect.stringContaining('cannot take bucket 4'),
      detail: expect.stringContaining('v2-worker.mjs'),
    });
    expect(await peer.event('failed')).toMatchObject({ message: 'cannot take bucket 4', mapped: false });
  });

  it('passes on the error of a hook', async () => {
    sender = await Sender.create(device, 1 << 20);
    peer = new Peer('v2-worker.mjs', [sender.session.address, '{"hookError":"no such kernel"}']);
    await expect(sender.send(buckets)).rejects.toMatchObject({
      code: 'CE_WORKER_FAILED',
      message: expect.stringContaining('no such kernel'),
    });
  });

  it('detects that the worker was killed', async () => {
    sender = await Sender.create(device, 1 << 20);
    peer = new Peer('v2-worker.mjs', [sender.session.address, '{"hangAt":1}']);
    const sending = sender.send(buckets).catch((error: unknown) => error);
    await expect.poll(() => peer.events.filter(({ event }) => event === 'bucket').length).toBe(3);
    peer.kill();
    expect(await sending).toMatchObject({ code: 'CE_WORKER_LOST', rank: 3 }); // not that it timed out
  });

  it('tells the worker that the server was killed; the buffer is unmapped', async () => {
    sender = await Sender.create(device, 4096);
    const server = new Peer('v2-sender.mjs', []);
    const { address } = await server.event('address');
    peer = new Peer('v2-worker.mjs', [address as string]);
    await server.event('streaming');
    server.kill();
    expect(await peer.event('failed')).toMatchObject({ code: 'CE_PEER_LOST', mapped: false }); // not that it timed out
    await peer.event('closed');
    // The next device removes what the killed server left.
    await (await createHostDevice()).close();
  });
});

if (!existsSync(deno)) throw new Error('Deno is a development dependency: run npm install');
execFileSync(deno, ['--version']);
