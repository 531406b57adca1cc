import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { createHostDevice } from '@checkpoint-engine/device';
import { shmP2P } from '@checkpoint-engine/transport-shm';
import { expect, it } from 'vitest';
import { all, withGroup } from './world.ts';

/** Connects to a socket, sends bytes, and gives what comes back until the other side hangs up. */
async function talk(name: string, bytes: Uint8Array): Promise<number> {
  const socket = connect(`\0${name}`);
  let received = 0;
  socket.on('data', (chunk) => {
    received += chunk.length;
  });
  socket.on('error', () => {});
  socket.write(bytes);
  await new Promise((resolve) => socket.once('close', resolve));
  return received;
}

/** A hello as the protocol has it, with a proof that is made up. */
function falseHello(): Uint8Array {
  const text = (value: string) => [0xa0 | value.length, ...new TextEncoder().encode(value)];
  const proof = [0xc4, 32, ...new Uint8Array(32)];
  const body = [0x83, ...text('type'), ...text('hello'), ...text('from'), ...text('1'), ...text('proof'), ...proof];
  return Uint8Array.of(0, 0, 0, body.length, ...body);
}

it('an endpoint hangs up on whoever does not know its secret, and goes on serving', async () => {
  const device = await createHostDevice();
  const owner = await shmP2P().open({ device });
  const reader = await shmP2P().open({ device });
  const [, name, secret] = (await owner.address()).split(':') as [string, string, string];
  expect(await talk(name, falseHello())).toBe(0);
  expect(await talk(name, new TextEncoder().encode('GET / HTTP/1.1\r\n\r\n'))).toBe(0);

  const memory = await device.allocateHost(1000, { shared: true });
  const { remote } = await owner.register(all(memory));
  const local = all(await device.allocateHost(1000));
  const reads = [{ remote, remoteOffsetBytes: 0, local }];
  const wrong = `shm:${name}:${secret.replace(/^./, (first) => (first === 'A' ? 'B' : 'A'))}`;
  await expect(reader.read(wrong, reads)).rejects.toMatchObject({ code: 'CE_PEER_UNREACHABLE' });
  await reader.read(await owner.address(), reads);
  await Promise.all([owner.close(), reader.close()]);
  await device.close();
});

/** Sockets of this process that wait for connections. */
function listening(): string[] {
  const own = readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      return []; // the descriptor that reads the folder
    }
  });
  const acceptsConnections = '00010000';
  return readFileSync('/proc/net/unix', 'utf8')
    .split('\n')
    .map((line) => line.split(/\s+/))
    .filter(([, , , flags, , , inode]) => flags === acceptsConnections && own.includes(`socket:[${inode}]`))
    .map((columns) => columns[7] ?? '')
    .filter((name) => name.startsWith('@checkpoint-engine-shm-'));
}

it('a group that has formed listens no more', async () => {
  const device = await createHostDevice();
  const endpoint = await shmP2P().open({ device });
  expect(listening()).toHaveLength(1); // so we would see it
  await endpoint.close();
  await device.close();
  await withGroup(2, async () => expect(listening()).toEqual([]));
});
