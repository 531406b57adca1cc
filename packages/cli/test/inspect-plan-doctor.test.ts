import { createHash } from 'node:crypto';
import { cp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { digestBytes, digestText } from '@checkpoint-engine/interface';
import { readCheckpoint, type TensorEntry } from '@checkpoint-engine/meta';
import { afterAll, describe, expect, it } from 'vitest';
import { freePort } from '../../../tools/test/free-port.ts';
import { smallCheckpoint, temporaryFolder } from './checkpoints.ts';
import { parseJson, runCli } from './run-cli.ts';

const { folder, remove } = await temporaryFolder();
const good = await smallCheckpoint(join(folder, 'good'));
afterAll(remove);

describe('inspect', () => {
  it('shows files, dtypes and the largest tensors of a checkpoint', async () => {
    const { code, stdout, stderr } = await runCli(['inspect', good]);
    expect(code).toBe(0);
    expect(stderr).toBe('');
    for (const text of ['model-00004-of-00004.safetensors', 'F8_E4M3', 'model.embed_tokens.weight', 'ok: headers']) {
      expect(stdout).toContain(text);
    }
    expect(stdout).not.toContain('model.layers.3.mlp.tokens_seen');
  });

  it('lists all tensors on request', async () => {
    const { stdout } = await runCli(['inspect', '--tensors', good]);
    expect(stdout).toMatch(/model\.layers\.3\.mlp\.tokens_seen +I64 +\[\] +8 B/);
  });

  it('prints JSON', async () => {
    const result = parseJson<{ tensors: unknown[]; tensorCount: number }>(
      await runCli(['inspect', '--json', '--tensors', good]),
    );
    expect(result).toMatchObject({ ok: true, command: 'inspect', problems: [], warnings: [] });
    expect(result.tensors).toHaveLength(result.tensorCount);
  });

  it('names every invalid file, and exits with 1', async () => {
    const bad = join(folder, 'bad');
    await cp(good, bad, { recursive: true });
    const [first, second] = (await readdir(bad))
      .filter((name) => name.endsWith('.safetensors'))
      .map((name) => join(bad, name));
    await truncate(first!, (await stat(first!)).size - 100);
    await rm(second!);
    const { code, stdout } = await runCli(['inspect', bad]);
    expect(code).toBe(1);
    expect(stdout).toContain('2 problems');
    expect(stdout).toMatch(/CE_FILE_TRUNCATED/);
    expect(stdout).toMatch(/CE_FILE_NOT_FOUND/);
    const json = await runCli(['inspect', '--json', bad]);
    expect(json.code).toBe(1);
    expect(parseJson(json)).toMatchObject({
      ok: false,
      problems: [{ hint: expect.any(String) }, { hint: expect.any(String) }],
    });
  });

  it('reports a file that does not exist', async () => {
    const { code, stdout } = await runCli(['inspect', join(folder, 'nowhere')]);
    expect(code).toBe(1);
    expect(stdout).toMatch(/No file at .*nowhere/);
  });
});

/** A tensor of `inspect --json --tensors --digests`. */
type Listed = TensorEntry & { readonly digest: string };

describe('inspect --digests --sha256', () => {
  it('computes digests and SHA-256 from the bytes of the files', async () => {
    const result = parseJson<{
      digest: string;
      derivedVersion: string;
      files: { path: string; sha256: string }[];
      tensors: Listed[];
    }>(await runCli(['inspect', '--json', '--tensors', '--digests', '--sha256', good]));
    const lines: string[] = [];
    for (const { path, sha256 } of result.files) {
      const bytes = await readFile(path);
      expect(sha256).toBe(createHash('sha256').update(bytes).digest('hex'));
      const listed = result.tensors.filter((tensor) => tensor.path === path);
      for (const { name, dtype, shape, digest, fileOffsetBytes, sizeBytes } of listed) {
        const own = digestText(digestBytes(bytes.subarray(fileOffsetBytes, fileOffsetBytes + sizeBytes)));
        expect([name, digest]).toEqual([name, own]);
        lines.push(`${name}\0${dtype}\0${shape.join()}\0${own}\n`);
      }
    }
    const whole = createHash('sha256').update(lines.sort().join('')).digest('hex').slice(0, 32);
    expect(result).toMatchObject({ digest: whole, derivedVersion: `digest:${whole}` });
    const { stdout, code } = await runCli(['inspect', '--digests', '--sha256', good]);
    expect(code).toBe(0);
    expect(stdout).toContain(`digest ${whole}, version digest:${whole}`);
    for (const { sha256 } of result.files) expect(stdout).toContain(sha256);
    const headers = parseJson(await runCli(['inspect', '--json', good]));
    expect(headers).not.toHaveProperty('digest');
    expect((await runCli(['inspect', '--sha256', good])).stdout).not.toContain('digest:');
  });

  it('does not read files that have problems', async () => {
    const bad = join(folder, 'unread');
    await cp(good, bad, { recursive: true });
    const [first] = (await readdir(bad)).filter((name) => name.endsWith('.safetensors'));
    await truncate(join(bad, first!), 100);
    const { code, stdout } = await runCli(['inspect', '--digests', '--json', bad]);
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).not.toHaveProperty('digest');
  });
});

describe('plan', () => {
  it('shows shares, buckets and memory', async () => {
    const { code, stdout } = await runCli(['plan', '--checkpoint-path', good, '--world-size', '3']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/buckets .* of at most/);
    expect(stdout).toMatch(/balance .* times the mean/);
    expect(stdout.match(/^ +[012] +\d+ +[\d.]+ MiB +\d+$/gm)).toHaveLength(3);
  });

  it('assigns every tensor to one rank, within the memory allowed', async () => {
    const args = ['plan', '--json', '--checkpoint-path', good, '--world-size', '4', '--device-memory', '1MiB'];
    const { summary, sizing } = parseJson<{
      summary: { owners: { tensorCount: number }[]; tensorCount: number };
      sizing: { deviceBytes: number };
    }>(await runCli(args));
    expect(sizing.deviceBytes).toBeLessThanOrEqual(2 ** 20);
    expect(summary.owners.reduce((sum, { tensorCount }) => sum + tensorCount, 0)).toBe(summary.tensorCount);
  });

  it('applies PS_MAX_BUCKET_SIZE_GB', async () => {
    const args = ['plan', '--json', '--checkpoint-path', good, '--world-size', '1'];
    const planned = parseJson(await runCli(args, { env: { PS_MAX_BUCKET_SIZE_GB: `${2 ** -10}` } }));
    expect(planned).toMatchObject({ sizing: { bucketBytes: 2 ** 20 } });
  });

  it('fails with the needed size if memory is short', async () => {
    const result = await runCli([
      'plan',
      '--json',
      '--checkpoint-path',
      good,
      '--world-size',
      '2',
      '--device-memory',
      '4KiB',
    ]);
    expect(result.code).toBe(1);
    expect(parseJson(result)).toMatchObject({ ok: false, error: { code: 'CE_PLAN_MEMORY_TOO_SMALL' } });
    expect(result.stderr).toMatch(/What to do: Set --device-memory to \d+ or more/);
  });
});

describe('plan of a pull', () => {
  interface Planned {
    readonly needs: {
      readonly checkpointBytes: number;
      readonly ranks: readonly {
        rank: number;
        host: number;
        neededBytes: number;
        pooledBytes: number;
        readBytes: number;
        savedBytes: number;
      }[];
      readonly hosts: readonly { ranks: number[]; heldBytes: number; readBytes: number; broadcastBytes: number }[];
    };
  }
  const plan = (...args: string[]) => runCli(['plan', '--checkpoint-path', good, ...args]);
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

  it('follows a parallel layout: each rank keeps its part, each host reads what it needs from others once', async () => {
    const result = await plan('--world-size', '4', '--tp', '4', '--ranks-per-host', '2', '--json');
    expect(result).toMatchObject({ code: 0, stderr: '' });
    const { needs } = parseJson<Planned>(result);
    expect(needs.hosts.map(({ ranks }) => ranks)).toEqual([
      [0, 1],
      [2, 3],
    ]);
    for (const { host, neededBytes, pooledBytes, savedBytes } of needs.ranks) {
      expect(neededBytes + savedBytes).toBe(needs.checkpointBytes);
      expect(neededBytes).toBeLessThan(needs.checkpointBytes);
      expect(pooledBytes).toBeLessThan(neededBytes);
      const { readBytes, broadcastBytes, heldBytes } = needs.hosts[host]!;
      expect(readBytes).toBeLessThan(broadcastBytes);
      expect(heldBytes + broadcastBytes).toBe(needs.checkpointBytes);
      expect(readBytes).toBe(sum(needs.ranks.filter((rank) => rank.host === host).map((rank) => rank.readBytes)));
    }
  });

  it('prints the same as text, and omits it by default', async () => {
    const asked = await plan('--world-size', '4', '--tp', '2', '--ranks-per-host', '2');
    expect(asked.stdout).toMatch(/With a pull: by rule, tp 2, ep 1, pp 1/);
    expect(asked.stdout).toMatch(/cross the network/);
    expect((await plan('--world-size', '4')).stdout).not.toMatch(/pull/);
  });

  it('follows a file of needs', async () => {
    const { tensors } = await readCheckpoint(good);
    const [first, second] = tensors.filter(({ sizeBytes }) => sizeBytes >= 8);
    const file = join(folder, 'needs.json');
    const ranks = [
      { rank: 0, tensors: { [first!.name]: 'whole' } },
      { rank: 2, tensors: { [first!.name]: 'whole', [second!.name]: [[2, 1, 4, 4]] } },
    ];
    await writeFile(file, JSON.stringify({ ranks }));
    const { needs } = parseJson<Planned>(
      await plan('--world-size', '3', '--ranks-per-host', '1', '--needs', file, '--json'),
    );
    expect(needs.ranks.map(({ neededBytes }) => neededBytes)).toEqual([first!.sizeBytes, 0, first!.sizeBytes + 4]);
    expect(needs.ranks[1]).toMatchObject({ savedBytes: 0, readBytes: 0 });
    expect(sum(needs.ranks.map(({ pooledBytes, readBytes }) => pooledBytes + readBytes))).toBe(
      2 * first!.sizeBytes + 4,
    );
  });

  it.each([
    ['{', /JSON/],
    ['{"ranks": []}', /ranks/],
    ['{"ranks": [{"rank": 0, "tensors": {"nowhere": "whole"}}]}', /tensor "nowhere"/],
    ['{"ranks": [{"rank": 7, "tensors": {}}]}', /it has rank 7, but the world has 2 ranks/],
    ['{"ranks": [{"rank": 0, "tensors": {}}, {"rank": 0, "tensors": {}}]}', /rank 0 twice/],
    ['{"ranks": [{"rank": 0, "tensors": {"TENSOR": [[0, 2, 8, 4]]}}]}', /for rank 0 a box/],
    ['{"ranks": [{"rank": 0, "tensors": {"TENSOR": [[0, 1, 1e15, 1e15]]}}]}', /for rank 0 a box that ends/],
    ['{"ranks": [{"rank": 0, "tensors": {"TENSOR": [[0, 1, 4]]}}]}', /TENSOR/],
    ['{"ranks": [{"rank": 0, "tensors": {"TENSOR": "half"}}]}', /TENSOR/],
  ])('refuses the needs %s', async (text, message) => {
    const { tensors } = await readCheckpoint(good);
    const file = join(folder, 'wrong.json');
    const { name } = tensors.find(({ sizeBytes }) => sizeBytes >= 8)!;
    await writeFile(file, text.replaceAll('TENSOR', name));
    const result = await plan('--world-size', '2', '--needs', file);
    expect(result.code).toBe(2);
    expect(result.stderr.replaceAll(name, 'TENSOR')).toMatch(message);
  });

  it.each([
    [['--world-size', '4', '--tp', '3'], /do not divide into instances of 3/],
    [['--world-size', '6', '--tp', '2', '--ep', '3'], /multiple of tp/],
    [['--world-size', '4', '--tp', '0'], /not a count/],
    [['--world-size', '4', '--tp', '2', '--needs', 'x'], /More than one of/],
  ])('refuses wrong arguments: %j', async (args, message) => {
    const result = await plan(...args);
    expect(result.code).toBe(2);
    expect(result.stderr).toMatch(message);
  });

  it('reports a missing file of needs', async () => {
    const result = await plan('--world-size', '2', '--needs', join(folder, 'nowhere.json'), '--json');
    expect(result.code).toBe(1);
    expect(parseJson(result)).toMatchObject({ error: { code: 'CE_FILE_NOT_FOUND' } });
  });
});

describe('doctor', () => {
  it('reports for everything whether it is present, or how to get it', async () => {
    const result = await runCli(['doctor', '--json']);
    expect(result.code).toBe(0);
    const { checks, devices } = parseJson<{
      checks: { id: string; status: string; hint?: string }[];
      devices: string[];
    }>(result);
    const ids = checks.map(({ id }) => id);
    for (const id of [
      'runtime',
      'driver',
      'gpus',
      'nccl',
      'mooncake',
      'rdma',
      'memory',
      'shm',
      'hugepages',
      'memlock',
      'nofile',
      'leftovers',
    ]) {
      expect(ids).toContain(id);
    }
    for (const check of checks) if (check.status !== 'found') expect(check.hint, check.id).toBeTruthy();
    expect(devices).toContain('host');
  });

  it('reports a variable that names the wrong library', async () => {
    const { stdout } = await runCli(['doctor'], { env: { CHECKPOINT_ENGINE_NCCL_LIB: '/nowhere/libnccl.so.2' } });
    expect(stdout).toMatch(/✗ NCCL .*\/nowhere\/libnccl\.so\.2/);
  });
});

describe('doctor --engine', () => {
  it.each([
    [['--engine', 'vllm'], /--engine vllm needs --endpoint or --uds/],
    [['--engine', 'tgi', '--endpoint', 'http://127.0.0.1:1'], /vllm, sglang, lmdeploy, worker/],
    [['--endpoint', 'localhost:8000'], /not the URL of a server/],
    [['--timeout', '0', '--endpoint', 'http://127.0.0.1:1'], /above 0/],
  ])('refuses wrong arguments: %j', async (args, message) => {
    const result = await runCli(['doctor', ...args]);
    expect(result.code).toBe(2);
    expect(result.stderr).toMatch(message);
  });

  it('reports that no engine answers', async () => {
    const port = await freePort();
    const args = ['doctor', '--engine', 'vllm', '--endpoint', `http://127.0.0.1:${port}`, '--timeout', '0.5', '--json'];
    const result = await runCli(args);
    expect(result.code).toBe(1);
    expect(parseJson(result)).toMatchObject({ ok: false, error: { code: 'CE_ENGINE_UNREACHABLE' } });
  });

  it('says what to do about an engine without a receiver', async () => {
    const engine = createServer((request, response) => {
      response.writeHead(request.url === '/health' ? 200 : 404).end('{}');
    });
    await new Promise<void>((resolve) => engine.listen(0, '127.0.0.1', resolve));
    try {
      const endpoint = `http://127.0.0.1:${(engine.address() as AddressInfo).port}`;
      for (const [name, hint] of [
        ['vllm', /Install the Python package/],
        ['lmdeploy', /has no receiver/],
      ] as const) {
        const text = await runCli(['doctor', '--engine', name, '--endpoint', endpoint]);
        expect(text.code).toBe(0);
        expect(text.stdout).toContain(`${name} at ${endpoint}: no receiver of this project`);
        expect(text.stdout).toMatch(hint);
      }
    } finally {
      engine.closeAllConnections();
      engine.close();
    }
  });
});
