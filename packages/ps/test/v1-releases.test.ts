// Workers of several releases of the Python tool that engines use today: SGLang's extra installs 0.1.2. Each runs with
// the real torch, and a file on /dev/shm in place of device memory.
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { type SharedMemory, silentLogger } from '@checkpoint-engine/interface';
import { afterAll, describe, expect, it } from 'vitest';
import type { BucketTensor } from '../src/session.ts';
import { v1Protocol } from '../src/v1/index.ts';
import { fetchedPackages, python, reasonToSkip, scriptPath } from './v1-python.ts';

const releases = fetchedPackages('checkpoint-engine');
const reason =
  releases.length === 0 ? 'tools/python/make-engines.sh was not run' : reasonToSkip('torch', 'zmq', 'loguru');
const path = `/dev/shm/ce-v1-releases-${process.pid}`;
const bytes = randomBytes(64 * 1024);
const signal = AbortSignal.timeout(250_000);
const tensors: BucketTensor[] = [0, 1, 2].map((index) => ({
  name: `t${index}`,
  dtype: 'BF16',
  shape: [16, 8],
  sizeBytes: 256,
  offsetBytes: 4096 * index,
}));
const buffer = { kind: 'device', sizeBytes: bytes.length, handle: new Uint8Array(64) } as unknown as SharedMemory;

afterAll(() => rmSync(path, { force: true }));

describe.skipIf(reason)(`workers of the Python tool${reason ? ` (skipped: ${reason})` : ''}`, () => {
  it.each(releases)(
    'of release $version load, run their hook once, and end',
    async ({ version, folder }) => {
      writeFileSync(path, bytes);
      const about = {
        deviceKind: 'cuda',
        deviceUuid: `GPU-${version}-${process.pid}`,
        updateId: 'u',
        counter: 0,
        rank: 0,
        slots: 1,
      } as const;
      const session = await v1Protocol().createSession({
        ...about,
        checkpoint: 'c',
        timeoutMs: 240_000,
        logger: silentLogger,
      });
      const child = spawn(python, [scriptPath('v1-interop.py'), session.address, path], {
        stdio: ['ignore', 'pipe', 'inherit'],
        env: { ...process.env, PYTHONPATH: folder },
      });
      const events: { event: string; name?: string; sha256?: string }[] = [];
      createInterface({ input: child.stdout }).on('line', (line) => void events.push(JSON.parse(line)));
      // The engine answers when its worker has ended without an error.
      const answer = once(child, 'close').then(() => {
        if (events.at(-1)?.event !== 'end') throw new Error(`The worker ended with ${JSON.stringify(events.at(-1))}`);
      });
      answer.catch(() => {});
      await session.open(buffer, { signal });
      await session.reload({ index: 0, tensors }, { signal });
      const phases: string[] = [];
      await session.finish({ signal, answer, onPhase: (phase) => void phases.push(phase) });
      await answer;
      await session.close();
      expect(phases).toEqual(['released', 'loaded']);
      expect(events.filter(({ event }) => event === 'hook')).toHaveLength(1);
      const wanted = tensors.map(({ name, offsetBytes, sizeBytes }) => ({
        name,
        sha256: createHash('sha256')
          .update(bytes.subarray(offsetBytes, offsetBytes + sizeBytes))
          .digest('hex'),
      }));
      const seen = events.filter(({ event }) => event === 'tensor').map(({ name, sha256 }) => ({ name, sha256 }));
      expect(seen).toEqual(wanted);
    },
    260_000,
  );
});
