// Exits with 0 when `checkpoint-engine serve` in this container answers 200: `node health.mjs healthz|readyz`.
// If NODE_RANK is above 0, the process runs ranks for another host and serves no API, so the check always passes.
import { connect } from 'node:net';
import process from 'node:process';

const route = process.argv[2] === 'readyz' ? 'readyz' : 'healthz';
// Without an address, `localhost` is 127.0.0.1, or ::1 on a host with IPv6 only.
const address = process.env.CHECKPOINT_ENGINE_HEALTH ?? 'localhost:19730';
if (Number(process.env.NODE_RANK ?? 0) > 0) process.exit(0);

const [, host, port] = /^\[?(.*?)\]?:(\d+)$/.exec(address) ?? [];
const socket = address.startsWith('/')
  ? connect(address)
  : connect({ host, port: Number(port), autoSelectFamily: true });
const fail = (why) => {
  process.stderr.write(`${route} of ${address}: ${why}\n`);
  process.exit(1);
};
socket.setTimeout(4_000, () => fail('no answer within 4 s'));
socket.on('error', (error) => fail(error.message));
socket.on('connect', () => socket.write(`GET /v1/${route} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n`));
socket.once('data', (data) => {
  const status = /^HTTP\/1\.1 (\d{3})/.exec(String(data))?.[1];
  if (status === '200') process.exit(0);
  fail(`status ${status ?? 'unknown'}`);
});
