import process from 'node:process';
import { afterEach, expect, test } from 'vitest';
import { Reply } from 'zeromq';
import { RequestSocket } from './request-socket.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (frame: Uint8Array | undefined): string => new TextDecoder().decode(frame);
const open: { close(): void }[] = [];
let addresses = 0;

function pair(): { socket: RequestSocket; reply: Reply; address: string } {
  const address = `ipc://@ce-zmq-test-${process.pid}-${addresses++}`;
  const socket = new RequestSocket({ lingerMs: 0 });
  const reply = new Reply({ linger: 0 });
  open.push(socket, reply);
  return { socket, reply, address };
}

afterEach(() => {
  for (const socket of open.splice(0)) socket.close();
});

test('request and reply, many times over one abstract socket', async () => {
  const { socket, reply, address } = pair();
  await socket.bind(address);
  reply.connect(address);
  const echo = (async () => {
    for (let i = 0; i < 200; i++) await reply.send(await reply.receive());
  })();
  for (let i = 0; i < 200; i++) {
    const answer = await socket.request([bytes(`a${i}`), bytes('b')], { timeoutMs: 2_000 });
    expect(answer.map(text)).toEqual([`a${i}`, 'b']);
  }
  await echo;
});

test('a send without a peer times out, sends nothing, and may be tried again', async () => {
  const { socket, reply, address } = pair();
  await socket.bind(address);
  await expect(socket.send([bytes('x')], { timeoutMs: 30 })).rejects.toMatchObject({ code: 'CE_TIMEOUT' });
  expect(socket.state).toBe('ready');
  reply.connect(address);
  await socket.send([bytes('y')], { timeoutMs: 2_000 });
  expect(text((await reply.receive())[0])).toBe('y');
});

test('a reply that does not come in time closes the socket for good', async () => {
  const { socket, reply, address } = pair();
  await socket.bind(address);
  reply.connect(address);
  await socket.send([bytes('x')], { timeoutMs: 2_000 });
  await expect(socket.receive({ timeoutMs: 30 })).rejects.toMatchObject({ code: 'CE_TIMEOUT' });
  expect(socket.state).toBe('closed');
  await expect(socket.send([bytes('y')])).rejects.toMatchObject({ code: 'CE_CLOSED' });
  await expect(socket.receive()).rejects.toMatchObject({ code: 'CE_CLOSED' });
});

test('an abort ends a receive with the reason, and close ends it with CE_CLOSED', async () => {
  for (const end of ['abort', 'close'] as const) {
    const { socket, reply, address } = pair();
    await socket.bind(address);
    reply.connect(address);
    await socket.send([bytes('x')], { timeoutMs: 2_000 });
    const controller = new AbortController();
    const pending = socket.receive({ signal: controller.signal });
    setTimeout(() => (end === 'abort' ? controller.abort() : socket.close()), 20);
    await expect(pending).rejects.toMatchObject({ code: end === 'abort' ? 'CE_ABORTED' : 'CE_CLOSED' });
  }
});

test('an address that is taken is named', async () => {
  const { socket, reply, address } = pair();
  await reply.bind(address);
  await expect(socket.bind(address)).rejects.toMatchObject({
    code: 'CE_ADDRESS_IN_USE',
    message: expect.stringContaining(address),
  });
});

test('out of turn calls are misuse', async () => {
  const { socket, reply, address } = pair();
  await socket.bind(address);
  reply.connect(address);
  await expect(socket.receive()).rejects.toThrow(TypeError);
  await socket.send([bytes('x')], { timeoutMs: 2_000 });
  await expect(socket.send([bytes('y')])).rejects.toThrow(TypeError);
});
