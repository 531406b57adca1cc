import { Buffer } from 'node:buffer';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeWorldMetas, encodeWorldMetas } from '@checkpoint-engine/meta';
import { writeCheckpoint } from '../checkpoints/synthetic-checkpoint.ts';
import { describeMachine } from '../report/machine.ts';
import { type PublishOptions, publish } from '../report/publish.ts';
import { median } from '../report/statistics.ts';
import { corrupt } from '../world/receivers.ts';
import { World } from '../world/world.ts';
import { type SimulatedHosts, simulateHosts } from './networks.ts';
import { P2PWorld, streamMsOf } from './p2p-world.ts';

/** The options of `bench p2p assignment`. */
export interface AssignmentScenarioOptions extends PublishOptions {
  readonly mooncakePython: string;
  readonly owners: number;
  readonly joiners: number;
  /** Rate of each NIC, in 1e6 bits per second. */
  readonly rateMbps: number;
  readonly sizeBytes: number;
  readonly updates: number;
  readonly bucketBytes: number;
}

const NAME = 'weights';
const TENSOR_BYTES = 2 ** 20;
const MAX_RATIO = 1.2;

/**
 * Measures whether all NICs of the narrower side are busy all the time. Each owner and each joiner has its own NIC with
 * a limited rate. The joiners are one world on one host and broadcast through its memory; the transfer engine of each
 * joiner runs on a separate simulated host, so that its reads use a separate NIC.
 */
export async function assignmentScenario(options: AssignmentScenarioOptions): Promise<void> {
  const { owners, joiners, rateMbps, updates, sizeBytes, bucketBytes } = options;
  const folder = mkdtempSync(join(tmpdir(), 'checkpoint-engine-bench-'));
  const weights = join(folder, 'weights');
  const { files } = await writeCheckpoint(
    weights,
    Array(Math.ceil(sizeBytes / TENSOR_BYTES)).fill(TENSOR_BYTES),
    owners,
  );
  const hosts = simulateHosts(owners + joiners + 1, { rateMbps });
  const serving: World[] = [];
  let joining: P2PWorld | undefined;
  try {
    for (let owner = 0; owner < owners; owner++) serving.push(await startOwner(owner, hosts, options.mooncakePython));
    const metas = await gatherAll(serving, files);
    const front = owners + joiners;
    joining = await P2PWorld.start(
      Array.from({ length: joiners }, (_, joiner) => ({
        p2p: {
          protocol: 'tcp' as const,
          host: hosts.addresses[front]!,
          python: pythonOn(hosts.on(owners + joiner), options.mooncakePython, join(folder, `python-${joiner}`)),
        },
        nics: [`nic${joiner}`],
        runner: hosts.on(front),
      })),
    );
    const { world, receivers } = joining;
    await world.load(metas);
    const streamMs: number[] = [];
    let checked = 0;
    let wrong = 0;
    for (let round = 0; round <= updates; round++) {
      if (round > 0) await corrupt(receivers);
      streamMs.push(streamMsOf(await world.update(NAME, { bucketBytes })));
      const compared = await joining.verify(weights, files);
      checked += compared.checked;
      wrong += compared.wrong;
    }
    const [warmupMs, ...samplesMs] = streamMs as [number, ...number[]];
    const bytesAMs = (rateMbps * 1e6) / 8 / 1000;
    const floorMs = sizeBytes / (bytesAMs * Math.min(owners, joiners));
    const ratio = median(samplesMs) / floorMs;
    publish(
      {
        scenario: 'p2p assignment',
        title: `${owners} owners and ${joiners} joiners on NICs of ${rateMbps} Mbit/s: ${ratio.toFixed(2)} x the best possible time`,
        machine: describeMachine(),
        options: { owners, joiners, rateMbps, sizeBytes, bucketBytes, updates },
        rows: [
          {
            by: 'checkpoint-engine',
            what: 'update p2p, the part that moves bytes',
            ranks: joiners,
            bucketBytes,
            samplesMs,
            warmupMs: [warmupMs],
            sizeBytes,
            floorMs,
            checked,
            wrong,
          },
        ],
        targets: [{ what: 'time / best possible', measured: ratio, atMost: MAX_RATIO, unit: 'x' }],
        notes: ['The best possible time is all bytes once through the NICs of the narrower side, headers not counted.'],
      },
      options,
    );
  } finally {
    await joining?.end();
    await Promise.all(serving.map((owner) => owner.end()));
    hosts.remove();
    rmSync(folder, { recursive: true, force: true });
  }
}

function startOwner(owner: number, hosts: SimulatedHosts, python: string): Promise<World> {
  const p2p = { protocol: 'tcp', host: hosts.addresses[owner]!, python } as const;
  return World.start({ device: 'host' }, [{ p2p, nics: [`nic${owner}`], runner: hosts.on(owner) }]);
}

/** Each owner is a world of one here: their metas are joined as those of one world. */
async function gatherAll(serving: readonly World[], files: readonly string[]): Promise<string> {
  const metas = await Promise.all(
    serving.map(async (owner, rank) => {
      await owner.register(NAME, [files[rank]!]);
      const gathered = await owner.gather(NAME);
      const [own] = decodeWorldMetas(new Uint8Array(Buffer.from(gathered.metas, 'base64')));
      return { ...own!, rank };
    }),
  );
  return Buffer.from(encodeWorldMetas(metas)).toString('base64');
}

/** A command that replaces Python and runs on a simulated host. */
function pythonOn(runner: readonly string[], python: string, path: string): string {
  writeFileSync(path, `#!/bin/sh\nexec ${[...runner, python].join(' ')} "$@"\n`);
  chmodSync(path, 0o755);
  return path;
}
