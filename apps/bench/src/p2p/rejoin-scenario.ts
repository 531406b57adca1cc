import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { writeCheckpoint } from '../host/synthetic-checkpoint.ts';
import { describeMachine } from '../report/machine.ts';
import { type PublishOptions, publish } from '../report/publish.ts';
import { median } from '../report/statistics.ts';
import { P2PWorld } from './joining.ts';
import { simulateHosts } from './networks.ts';
import type { P2PUsage } from './p2p-rank.ts';

/** What `bench p2p rejoin` is asked to do. */
export interface RejoinScenarioOptions extends PublishOptions {
  readonly mooncakePython: string;
  readonly ranks: number;
  /** Times that the joiners are killed. */
  readonly cycles: number;
  readonly sizeBytes: number;
  readonly bucketBytes: number;
  /** The hosts run on the same cores. @default each on its own part of them */
  readonly sharedCores?: boolean | undefined;
}

const TENSOR_BYTES = 2 ** 20;
const MOST_PAUSE_MS = 50;
/** Pages that the allocator keeps, and the like. */
const RESIDENT_SLACK_BYTES = 32 * 2 ** 20;

/**
 * Ranks on one host serve, and update their own workers all the time; ranks on another join, are killed in the middle of
 * their next update, and join again, again and again. Nothing may grow at those who serve, and nothing stand still.
 */
export async function rejoinScenario(options: RejoinScenarioOptions): Promise<void> {
  const { ranks, cycles, sizeBytes, bucketBytes, sharedCores, mooncakePython: python } = options;
  const folder = mkdtempSync(join(tmpdir(), 'checkpoint-engine-bench-'));
  const { files } = await writeCheckpoint(folder, Array(Math.ceil(sizeBytes / TENSOR_BYTES)).fill(TENSOR_BYTES), ranks);
  const hosts = simulateHosts(2, { coresApart: !sharedCores });
  const placesOn = (host: number) =>
    Array.from({ length: ranks }, () => ({
      p2p: { protocol: 'tcp' as const, host: hosts.addresses[host]!, python },
      nics: [hosts.addresses[host]!],
      runner: hosts.on(host),
    }));
  const a = await P2PWorld.start(placesOn(0));
  let b: P2PWorld | undefined;
  try {
    await a.all((rank) => rank.call('register', files));
    const [metas] = await a.all((rank) => rank.call('gather', null));
    await a.all((rank) => rank.call('update', bucketBytes));
    const usage = async (): Promise<P2PUsage> => worst(await a.all((rank) => rank.call('usage', null)));
    await usage();
    const alone = await traffic(a, bucketBytes, sleep(3_000));
    const before = await usage();
    const joinMs: number[] = [];
    const seen: { traffic: Traffic; usage: P2PUsage }[] = [];
    let checked = 0;
    let wrong = 0;
    for (let cycle = 0; cycle < cycles; cycle++) {
      b = await P2PWorld.start(placesOn(1), ranks);
      const joining = b;
      await joining.all((rank) => rank.call('load', metas!));
      await usage();
      const startedAtMs = performance.now();
      const joined = joining
        .all((rank) => rank.call('update', bucketBytes))
        .then((took) => {
          joinMs.push(performance.now() - startedAtMs);
          return took;
        });
      seen.push({ traffic: await traffic(a, bucketBytes, joined), usage: await usage() });
      const compared = await joining.verify(folder, files);
      checked += compared.checked;
      wrong += compared.wrong;
      const cut = joining.all((rank) => rank.call('update', bucketBytes));
      cut.catch(() => {});
      await sleep(30 + cycle * 10);
      await joining.kill();
      b = undefined;
    }
    await sleep(6_000);
    const after = await usage();
    const own = await a.verify(folder, files);
    const longestPauseMs = Math.max(...seen.map((each) => each.usage.longestMs));
    const busyMs = Math.max(...seen.map((each) => each.usage.busyMs));
    const longestUpdateMs = Math.max(...seen.map((each) => each.traffic.longestMs));
    const longestGapMs = Math.max(...seen.map((each) => each.traffic.longestGapMs));
    publish(
      {
        scenario: 'p2p rejoin',
        title: `${ranks} joiners killed and joined again ${cycles} times: ${wrong} of ${checked} tensors wrong; open files of those who serve ${before.openFiles} before, ${after.openFiles} after`,
        machine: describeMachine(),
        options: { ranks, cycles, sizeBytes, bucketBytes, sharedCores: sharedCores ?? false },
        rows: [
          { by: 'checkpoint-engine', what: 'join', ranks, bucketBytes, samplesMs: joinMs, sizeBytes, checked, wrong },
          {
            by: 'checkpoint-engine',
            what: 'those who serve',
            ranks,
            samplesMs: [longestPauseMs],
            figures: {
              longestPauseMs,
              longestPauseOnCoreMs: busyMs,
              longestPauseAloneMs: before.longestMs,
              longestGapMs,
              longestGapAloneMs: alone.longestGapMs,
              longestUpdateMs,
              longestUpdateAloneMs: alone.longestMs,
              medianUpdateAloneMs: alone.medianMs,
              openFilesBefore: before.openFiles,
              openFilesAfter: after.openFiles,
              residentBytesBefore: before.residentBytes,
              residentBytesAfter: after.residentBytes,
              engineProcesses: after.engineProcesses,
            },
            checked: own.checked,
            wrong: own.wrong,
          },
        ],
        targets: [
          {
            what: 'pause of the event loop of those who serve',
            measured: longestPauseMs,
            atMost: MOST_PAUSE_MS,
            unit: 'ms',
          },
          {
            what: 'time in which a worker of those who serve got no bucket of an update',
            measured: longestGapMs,
            atMost: MOST_PAUSE_MS,
            unit: 'ms',
          },
          { what: 'open files that are left', measured: after.openFiles - before.openFiles, atMost: 0, unit: '' },
          {
            what: 'resident bytes that are left',
            measured: after.residentBytes - before.residentBytes,
            atMost: RESIDENT_SLACK_BYTES,
            unit: 'bytes',
          },
        ],
        notes: [
          'Those who serve update their own workers in a loop while others join: what that costs without joiners stands beside it.',
          `The two hosts are network namespaces of this machine, ${sharedCores ? 'on the same cores' : 'each with its own part of the cores'}.`,
        ],
      },
      options,
    );
  } finally {
    await b?.kill();
    await a.end();
    hosts.remove();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What updates in a loop took. */
interface Traffic {
  readonly longestMs: number;
  readonly medianMs: number;
  readonly longestGapMs: number;
}

/** Updates a world's own workers in a loop until something is over, at least once. */
async function traffic(world: P2PWorld, bucketBytes: number, until: Promise<unknown>): Promise<Traffic> {
  let isOver = false;
  const over = until.finally(() => {
    isOver = true;
  });
  over.catch(() => {});
  const tookMs: number[] = [];
  let longestGapMs = 0;
  do {
    const took = await world.all((rank) => rank.call('update', bucketBytes));
    tookMs.push(Math.max(...took.map(({ totalMs }) => totalMs)));
    longestGapMs = Math.max(longestGapMs, ...took.map((each) => each.longestGapMs));
  } while (!isOver);
  await over;
  return { longestMs: Math.max(...tookMs), medianMs: median(tookMs), longestGapMs };
}

function worst(all: readonly P2PUsage[]): P2PUsage {
  const most = (of: (usage: P2PUsage) => number): number => Math.max(...all.map(of));
  return {
    longestMs: most(({ longestMs }) => longestMs),
    busyMs: most(({ busyMs }) => busyMs),
    waitedMs: most(({ waitedMs }) => waitedMs),
    openFiles: most(({ openFiles }) => openFiles),
    residentBytes: most(({ residentBytes }) => residentBytes),
    engineProcesses: most(({ engineProcesses }) => engineProcesses),
  };
}
