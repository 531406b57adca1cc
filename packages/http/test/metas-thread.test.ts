import { decodeWorldMetas, encodeWorldMetas } from '@checkpoint-engine/meta';
import { afterEach, expect, it } from 'vitest';
import type { MetasThread } from '../src/python-tool/metas-thread.ts';

// The thread's program is the built one. A computed name keeps the type checker from asking for the build.
const built = new URL('../dist/python-tool/metas-thread.js', import.meta.url).href;
const { MetasThread: Thread }: typeof import('../src/python-tool/metas-thread.ts') = await import(built);

const SIZE_BYTES = 256;

function metasOf(count: number): Uint8Array {
  const tensors = Array.from({ length: count }, (_, index) => ({
    ...{ name: `model.layers.${index}.weight`, dtype: 'U8' as const, shape: [SIZE_BYTES], sizeBytes: SIZE_BYTES },
    ...{ region: 0, offsetBytes: index * SIZE_BYTES },
  }));
  const remote = { address: '4096', sizeBytes: count * SIZE_BYTES, key: 'k' };
  const regions = [{ sizeBytes: count * SIZE_BYTES, remote }];
  const place = { host: 'h', deviceUuid: 'GPU-0', p2pAddress: '10.0.0.1:700', nics: ['mlx5_0'] };
  return encodeWorldMetas([{ checkpoint: 'a', rank: 0, ...place, regions, tensors }]);
}

/** How often the event loop turns until the work is done. */
async function turnsDuring<T>(work: Promise<T>): Promise<{ turns: number; result: T }> {
  let turns = 0;
  let isDone = false;
  const count = (): void => {
    turns++;
    if (!isDone) setImmediate(count);
  };
  setImmediate(count);
  const result = await work.finally(() => {
    isDone = true;
  });
  return { turns, result };
}

const threads: MetasThread[] = [];
function start(): MetasThread {
  const thread = new Thread();
  threads.push(thread);
  return thread;
}
afterEach(() => {
  for (const thread of threads.splice(0)) thread.close();
});

it('converts metas while the event loop turns', async () => {
  const thread = start();
  const encoded = metasOf(50_000);
  const written = await turnsDuring(thread.toJson(encoded));
  const read = await turnsDuring(thread.fromJson(written.result));
  expect(read.result.name).toBe('a');
  expect(decodeWorldMetas(read.result.encoded)).toEqual(decodeWorldMetas(encoded));
  // On this thread the event loop would turn once or twice.
  expect(Math.min(written.turns, read.turns)).toBeGreaterThan(20);
});

it('rejects bodies and metas that are not valid with their errors, and continues', async () => {
  const thread = start();
  const bytes = (text: string) => new TextEncoder().encode(text);
  const all = await Promise.allSettled([
    thread.fromJson(bytes('{')),
    thread.fromJson(bytes('')),
    thread.fromJson(bytes('{"x":1}')),
    thread.fromJson(bytes('{}')),
    thread.toJson(bytes('CEMTx')),
  ]);
  const reasons = all.map((outcome) => outcome.status === 'rejected' && outcome.reason);
  expect(reasons.slice(0, 3)).toMatchObject([
    { issues: [{ type: 'json_invalid' }] },
    { issues: [{ type: 'missing' }] },
    { issues: [{ loc: ['body', 'x'] }, ...Array(reasons[2].issues.length - 1).fill({})] },
  ]);
  expect(reasons.slice(3)).toMatchObject([{ code: 'CE_METAS_INVALID' }, { code: 'CE_METAS_INVALID' }]);
  expect(await thread.toJson(encodeWorldMetas([]))).toEqual(bytes('{}'));
});

it('rejects pending conversions when it closes', async () => {
  const thread = start();
  const converting = thread.toJson(metasOf(1000));
  thread.close();
  await expect(converting).rejects.toMatchObject({ code: 'CE_CLOSED' });
  await expect(thread.toJson(metasOf(1))).rejects.toMatchObject({ code: 'CE_CLOSED' });
  thread.close();
});
