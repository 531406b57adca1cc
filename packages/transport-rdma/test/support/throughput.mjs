// Reads within this host, through this package and through Mooncake's own Python, in turns, with the same blocks. Also
// runs iperf3, if it is installed, to show the rate of one TCP connection without any processing.
// MOONCAKE_PROTOCOL selects the protocol (tcp).
//   node throughput.mjs PYTHON [SIZE_MIB] [ROUNDS]
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { createHostDevice } from '@checkpoint-engine/device';
import { rdma } from '@checkpoint-engine/transport-rdma';

const [python, sizeMiB = '256', rounds = '5'] = process.argv.slice(2);
const MiB = 1024 * 1024;
const sizeBytes = Number(sizeMiB) * MiB;
const program = fileURLToPath(new URL('./python-engine.py', import.meta.url));
const { MOONCAKE_PROTOCOL: protocol = 'tcp' } = process.env;
const env = { ...process.env, MC_LOG_LEVEL: 'ERROR', MC_TCP_ENABLE_CONNECTION_POOL: '1' };
if (protocol === 'tcp') env.MC_FORCE_TCP = '1';
const wave = 64;

const device = await createHostDevice();
const source = await device.allocateHost(sizeBytes, { shared: true });
const target = await device.allocateHost(sizeBytes, { shared: true });
for (let i = 0; i < sizeBytes; i += 16 * MiB) source.view(i, Math.min(16 * MiB, sizeBytes - i)).fill(i / MiB + 1);

/** Returns a function that reads everything once and returns the duration in seconds. */
async function ours(blockBytes) {
  const transport = rdma({ python, protocol, blockBytes, maxInFlight: 4 * wave });
  const owner = await transport.open({ device });
  const reader = await transport.open({ device });
  const { remote } = await owner.register({ memory: source, offsetBytes: 0, sizeBytes });
  const local = { memory: target, offsetBytes: 0, sizeBytes };
  const once = async () => {
    target.view(0, sizeBytes).fill(0);
    const start = performance.now();
    await reader.read(await owner.address(), [{ remote, remoteOffsetBytes: 0, local }]);
    const seconds = (performance.now() - start) / 1000;
    for (let at = 0; at < sizeBytes; at += 256 * MiB) {
      const size = Math.min(256 * MiB, sizeBytes - at);
      if (Buffer.compare(target.view(at, size), source.view(at, size)) !== 0) throw new Error('Wrong bytes');
    }
    return seconds;
  };
  return { once, close: () => transport.close() };
}

/** The same through Mooncake's own Python. */
async function theirs(blockBytes) {
  const stdio = ['pipe', 'pipe', 'ignore'];
  const owner = spawn(python, [program, 'own', String(sizeBytes), '0'], { env, stdio });
  const { peer, address } = JSON.parse(String((await once(owner.stdout, 'data'))[0]));
  const args = [program, 'bench', peer, address, sizeBytes, blockBytes, wave].map(String);
  const reader = spawn(python, args, { env, stdio });
  const read = async () => {
    reader.stdin.write('\n');
    return Number(String((await once(reader.stdout, 'data'))[0]));
  };
  const close = async () => {
    for (const child of [reader, owner]) {
      child.stdin.end();
      await once(child, 'exit');
    }
  };
  return { once: read, close };
}

const rates = (seconds) => {
  const sorted = seconds.map((one) => sizeBytes / one / 1e9).sort((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)];
  return `${median.toFixed(2).padStart(6)} ${sorted.at(-1).toFixed(2).padStart(6)}`;
};

console.log(`${sizeMiB} MiB, ${rounds} rounds, ${protocol}, GB/s (1e9 bytes per second)`);
console.log('block (MiB) | here: median, best | Python: median, best');
for (const blockMiB of [1, 4, 16]) {
  const sides = [await ours(blockMiB * MiB), await theirs(blockMiB * MiB)];
  const seconds = [[], []];
  for (let round = -1; round < Number(rounds); round++) {
    for (const [i, { once: read }] of sides.entries()) {
      const took = await read();
      if (round >= 0) seconds[i].push(took); // the first one connects and touches the memory
    }
  }
  for (const side of sides) await side.close();
  const [here, there] = seconds.map(rates);
  console.log(`${String(blockMiB).padStart(11)} | ${here.padStart(18)} | ${there}`);
}
const floor = await iperf3();
console.log(floor === undefined ? 'iperf3 is not installed' : `iperf3, one connection: ${floor.toFixed(2)}`);
await device.close();

/** GB/s. */
async function iperf3() {
  const port = String(20_000 + (process.pid % 10_000));
  const server = spawn('iperf3', ['-s', '-1', '-p', port], { stdio: 'ignore' });
  server.on('error', () => {});
  try {
    await new Promise((resolve) => setTimeout(resolve, 500));
    const output = execFileSync('iperf3', ['-c', '127.0.0.1', '-p', port, '-t', '4', '-J'], { encoding: 'utf8' });
    return JSON.parse(output).end.sum_received.bits_per_second / 8e9;
  } catch {
    return undefined;
  } finally {
    server.kill();
  }
}
