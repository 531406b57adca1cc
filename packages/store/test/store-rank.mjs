// One rank of a world in a separate process: JSON commands come on standard input, JSON answers go to standard output.
import process from 'node:process';
import { createInterface } from 'node:readline';
import { openStore } from '@checkpoint-engine/store';

const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);
const failure = (error) => (error.toJSON ? error.toJSON() : { code: error.name, message: error.message });
const scopes = new Map();
const cpuAtStart = process.cpuUsage();

let store;
try {
  store = await openStore(JSON.parse(process.argv[2]));
} catch (error) {
  say({ event: 'refused', error: failure(error) });
  process.exit(3);
}
say({ event: 'joined' });
store.signal.addEventListener('abort', () => say({ event: 'failed', error: failure(store.signal.reason) }));

const scope = (name) => {
  if (name === '') return store;
  if (!scopes.has(name)) scopes.set(name, store.epoch(name));
  return scopes.get(name);
};

const commands = {
  set: (on, key, text) => on.set(key, new TextEncoder().encode(text)),
  get: async (on, key) => new TextDecoder().decode(await on.get(key)),
  wait: async (on, key) => new TextDecoder().decode(await on.wait(key)),
  barrier: (on, name) => on.barrier(name),
  gather: async (on, name, sizeBytes) => {
    const values = await on.allGather(name, new Uint8Array(sizeBytes).fill(store.rank + 1));
    return values.map((value) => [value.byteLength, value[0], value.at(-1)]);
  },
  close: (on) => on.close(),
  cpu: () => {
    const { user, system } = process.cpuUsage(cpuAtStart);
    return (user + system) / 1000;
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { id, op, on, args } = JSON.parse(line);
  Promise.resolve(commands[op](scope(on), ...args)).then(
    (value) => say({ id, value }),
    (error) => say({ id, error: failure(error) }),
  );
}
