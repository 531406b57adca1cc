import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { chmod, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { encodeSafetensorsHeader } from '@checkpoint-engine/meta';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freePort } from '../../../tools/test/free-port.ts';
import { mixedTensors, type TestCheckpoint, writeCheckpoint } from './support/checkpoint.ts';
import { Child } from './support/child.ts';
import { World, type WorldOptions } from './support/world.ts';

let world: World;
let checkpoint: TestCheckpoint;

async function ready(size: number, options: WorldOptions = {}): Promise<void> {
  world = await World.start(size, options);
  await world.register('a', { files: checkpoint.folder });
  await world.gather('a');
}

/** The update works, and every byte of it is right. */
async function expectUpdateWorks(): Promise<void> {
  await world.update('a', { bucketBytes: 2 ** 18 });
  for (let index = 0; index < world.size; index++) expect(await world.digests(index)).toEqual(checkpoint.digests);
}

beforeEach(async () => {
  checkpoint = await writeCheckpoint(mixedTensors(200), { shardCount: 2 });
});
afterEach(async () => {
  await world?.end();
  await checkpoint.remove();
});

describe('a failed update', () => {
  it('names the worker that throws, on every rank, and the next one works', async () => {
    await ready(3);
    await world.workers[1]!.call('plant', { kind: 'throw', bucket: 3 });
    const errors = await world.failedUpdate('a', { bucketBytes: 2 ** 18 });
    expect(errors).toHaveLength(3);
    for (const error of errors) {
      expect(error).toMatchObject({ code: 'CE_WORKER_FAILED', rank: 1 });
      expect(`${error.message} ${error.detail}`).toMatch(/planted fault: this worker throws/);
    }
    await world.workers[1]!.call('plant', null);
    await expectUpdateWorks();
  });

  it('detects a killed worker at once, and works again with a new one', async () => {
    await ready(3);
    await world.workers[2]!.call('plant', { kind: 'exit', bucket: 3 });
    for (const error of await world.failedUpdate('a', { bucketBytes: 2 ** 18 })) {
      expect(['CE_WORKER_LOST', 'CE_ENGINE_FAILED']).toContain(error.code); // not that it timed out
      expect(error.rank).toBe(2);
    }
    await world.startWorker(2);
    await expectUpdateWorks();
  });

  it('ends with its time-out when a worker hangs, and names it', async () => {
    await ready(2);
    await world.workers[0]!.call('plant', { kind: 'freeze', bucket: 1 });
    for (const error of await world.failedUpdate('a', { bucketBytes: 2 ** 18, timeoutMs: 2_000 })) {
      expect(['CE_TIMEOUT', 'CE_WORKER_TIMEOUT']).toContain(error.code);
    }
  });

  it('ends with its time-out when no worker connects', async () => {
    await ready(2);
    world.isEngineMute = true;
    for (const error of await world.failedUpdate('a', { timeoutMs: 1_500 })) {
      expect(['CE_TIMEOUT', 'CE_WORKER_TIMEOUT']).toContain(error.code);
    }
    world.isEngineMute = false;
    await expectUpdateWorks();
  });

  it('names the rank that was killed; a restarted rank takes part again', async () => {
    await ready(3, { lostAfterMs: 2_000 });
    const update = () => world.failedUpdate('a', { bucketBytes: 2 ** 16 });
    const errors = await world.inTheMiddle(1, 2, update, () => world.ranks[1]!.kill());
    expect(errors).toHaveLength(2);
    for (const error of errors) expect(error).toMatchObject({ code: 'CE_RANK_LOST', peer: 1 });
    await world.restartRank(1);
    await world.ranks[1]!.call('register', { name: 'a', source: { files: checkpoint.folder } });
    await world.gather('a');
    await expectUpdateWorks();
  });
});

describe('a failed registration', () => {
  const register = (files: string): Promise<unknown> =>
    world.ranks[0]!.call('register', { name: 'bad', source: { files } });

  beforeEach(async () => {
    world = await World.start(1);
  });

  it('names a missing shard', async () => {
    await rm(checkpoint.files[1]!);
    await writeFile(
      join(checkpoint.folder, 'model.safetensors.index.json'),
      JSON.stringify({
        metadata: {},
        weight_map: Object.fromEntries(
          Object.keys(checkpoint.digests).map((name, index) => [
            name,
            checkpoint.files[index < 100 ? 0 : 1]!.split('/').at(-1),
          ]),
        ),
      }),
    );
    await expect(register(checkpoint.folder)).rejects.toMatchObject({
      code: 'CE_FILE_NOT_FOUND',
      file: checkpoint.files[1],
    });
  });

  it('names a truncated shard', async () => {
    await truncate(checkpoint.files[1]!, 20_000);
    await expect(register(checkpoint.folder)).rejects.toMatchObject({
      code: 'CE_FILE_TRUNCATED',
      file: checkpoint.files[1],
    });
  });

  it('names the tensor with invalid offsets', async () => {
    const header = new TextEncoder().encode('{"liar":{"dtype":"U8","shape":[4],"data_offsets":[0,5]}}       ');
    const file = new Uint8Array(8 + header.length + 5);
    new DataView(file.buffer).setBigUint64(0, BigInt(header.length), true);
    file.set(header, 8);
    await writeFile(checkpoint.files[1]!, file);
    await expect(register(checkpoint.folder)).rejects.toMatchObject({ code: 'CE_FILE_INVALID', tensor: 'liar' });
  });

  it('names a tensor of an unknown dtype', async () => {
    const header = new TextEncoder().encode('{"odd":{"dtype":"F7","shape":[4],"data_offsets":[0,4]}}');
    const file = new Uint8Array(8 + header.length + 4);
    new DataView(file.buffer).setBigUint64(0, BigInt(header.length), true);
    file.set(header, 8);
    await writeFile(checkpoint.files[1]!, file);
    await expect(register(checkpoint.folder)).rejects.toMatchObject({ code: 'CE_DTYPE_UNKNOWN', tensor: 'odd' });
  });

  it('names a tensor that two shards have', async () => {
    const tensor = { name: 'model.layers.0.weight', dtype: 'U8' as const, shape: [3] };
    await writeFile(checkpoint.files[1]!, Buffer.concat([encodeSafetensorsHeader([tensor]), Buffer.alloc(3)]));
    await expect(register(checkpoint.folder)).rejects.toMatchObject({
      code: 'CE_TENSOR_DUPLICATE',
      tensor: tensor.name,
    });
  });

  it('names an unreadable file', async () => {
    await chmod(checkpoint.files[1]!, 0);
    // Root can read everything, unless the process has dropped this capability.
    const runner = process.getuid?.() === 0 ? ['setpriv', '--bounding-set=-dac_override,-dac_read_search', '--'] : [];
    const rank = new Child('rank-process', [], runner);
    await rank.call('start', { rank: 0, worldSize: 1, port: 0 });
    await expect(rank.call('register', { name: 'bad', source: { files: checkpoint.folder } })).rejects.toMatchObject({
      code: 'CE_FILE_UNREADABLE',
      file: checkpoint.files[1],
    });
    await rank.end();
  });

  it('frees the name: the good checkpoint registers after the bad one', async () => {
    await expect(register(join(checkpoint.folder, 'absent'))).rejects.toMatchObject({ code: 'CE_FILE_NOT_FOUND' });
    await world.ranks[0]!.call('register', { name: 'bad', source: { files: checkpoint.folder } });
  });
});

describe('shared memory that is too small', () => {
  const isRoot = process.getuid?.() === 0;
  if (!isRoot) console.warn('skipped: shared memory that is too small: only root can mount a small tmpfs');

  it.skipIf(!isRoot)(
    'is reported with the needed size, and nothing is left there (needs root to mount one)',
    async () => {
      const directory = await mkdtemp(join(tmpdir(), 'checkpoint-engine-small-shm-'));
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', directory]);
      try {
        world = await World.start(1, { directory });
        const large = await writeCheckpoint([{ name: 'large', dtype: 'U8', shape: [4 * 2 ** 20] }], { shardCount: 1 });
        await world.register('large', { files: large.folder });
        await world.gather('large');
        const [error] = await world.failedUpdate('large');
        expect(['CE_SHM_TOO_SMALL', 'CE_PLAN_MEMORY_TOO_SMALL']).toContain(error!.code);
        expect(readdirSync(directory)).toEqual([]);
        await large.remove();
      } finally {
        await world.end();
        execFileSync('umount', [directory]);
        await rm(directory, { recursive: true });
      }
    },
  );
});

describe('a world that cannot form', () => {
  it('names the port that is in use', async () => {
    world = await World.start(1);
    const holder = createServer();
    await once(holder.listen(0, '127.0.0.1'), 'listening');
    const { port } = holder.address() as AddressInfo;
    const rank = new Child('rank-process');
    await expect(rank.call('start', { rank: 0, worldSize: 2, port, timeoutMs: 5_000 })).rejects.toMatchObject({
      code: 'CE_ADDRESS_IN_USE',
      message: expect.stringContaining(String(port)),
    });
    await rank.kill();
    holder.close();
  });

  it('rejects a rank with the wrong token', async () => {
    world = await World.start(1);
    const port = await freePort();
    const args = (rank: number, token: string) => ({ rank, worldSize: 2, port, token, timeoutMs: 4_000 });
    const first = new Child('rank-process');
    const other = new Child('rank-process');
    const starting = first.call('start', args(0, 'the right token')).catch(() => {});
    const error = await other.call('start', args(1, 'another token')).then(
      () => undefined,
      (reason) => reason,
    );
    expect(['CE_TOKEN_REFUSED', 'CE_STORE_UNREACHABLE']).toContain(error?.code);
    expect(`${error.message} ${error.hint}`).toMatch(/token/i);
    expect(JSON.stringify(error.toJSON())).not.toContain('right token');
    await other.kill();
    await first.kill();
    await starting;
  });
});
