import { Buffer } from 'node:buffer';
import { CheckpointEngineError, toCheckpointEngineError } from '@checkpoint-engine/interface';
import type { RegisteredCheckpoint } from '@checkpoint-engine/ps';
import type { DeliveryJob, RankRegisterRequest } from '../config/jobs.ts';
import { withTimeLimit } from '../process/time-limit.ts';
import type { CallOptions, World } from '../process/world.ts';
import { bothOrNone } from './both-or-none.ts';
import type { RankReport } from './rank-report.ts';
import type { ReadMetas } from './read-metas.ts';

type Following = CallOptions & { readonly signal: AbortSignal };

/** What is to be done, with metas that have been read: what is wrong with them is said before ranks are started. */
export interface Delivery extends Omit<DeliveryJob, 'source'> {
  readonly source: { readonly register: RankRegisterRequest } | { readonly load: ReadMetas };
}

/** What was done. */
export interface Delivered {
  /** For each update the reports of the ranks that this process knows. */
  readonly reports: readonly (readonly RankReport[])[];
  /** Why the metas file was not written, though the updates are done. */
  readonly unwrittenMetas?: string | undefined;
  /** Files on `/dev/shm` that were used in place and were removed when all was done. */
  readonly removedFiles: readonly string[];
}

/** What the ranks can update to. */
interface Ready {
  readonly name: string;
  /** By rank; absent where others hold the weights. */
  readonly registered: readonly (RegisteredCheckpoint | undefined)[];
  /** By rank: what gathering or loading the metas took. */
  readonly metasMs: readonly number[];
}

/**
 * Brings one checkpoint the whole way into the engines. It is read while the engines get ready, if they have only just
 * been started. Called by all processes that share the world.
 *
 * @throws The first failure of any of the ranks. What fails after the updates says that the engines have the weights.
 */
export async function deliver(
  world: World,
  { source, updates, metasFile }: Delivery,
  following: Following,
): Promise<Delivered> {
  const { signal } = following;
  const [{ targets, ranks, timeoutMs }] = updates as [(typeof updates)[0]];
  // Beside reading and registering. The update waits for it, and says what is wrong if it fails.
  if (ranks === undefined) world.call('connect', { targets, timeoutMs }, { signal }).catch(() => {});
  const [{ name, registered, metasMs }] = await bothOrNone(signal, [
    (stop) => {
      const own = { ...following, signal: stop };
      return 'load' in source ? load(world, source.load, own) : register(world, source.register, timeoutMs, own);
    },
    (stop) => world.call('engineReady', { targets, ranks, timeoutMs }, { signal: stop }),
  ]);
  // All ranks have to have registered.
  const gathered =
    'load' in source
      ? metasMs
      : (await world.call('gatherMetas', { name, timeoutMs }, { signal })).map(({ durationMs }) => durationMs);
  const reports: RankReport[][] = [];
  for (const update of updates) {
    const results = await world.call('update', { ...update, name, keepFiles: true }, following);
    reports.push(
      world.ranks.map((rank, index) => ({
        rank,
        registered: registered[index],
        metasMs: gathered[index]!,
        update: results[index]!,
      })),
    );
  }
  const unwrittenMetas =
    metasFile === undefined ? undefined : await saveMetas(world, name, metasFile, following, timeoutMs);
  // Whoever is interrupted before finds the files where they were.
  signal.throwIfAborted();
  const removedFiles = 'load' in source ? [] : await removeFiles(world, name);
  return { reports, unwrittenMetas, removedFiles };
}

/** All is done by now: a rank that is interrupted here has not failed. */
async function removeFiles(world: World, name: string): Promise<readonly string[]> {
  const removed = await world.call('removeFiles', { name }).catch(() => []);
  return removed.flat().sort();
}

/** Others read what the metas name: all of it has to be in host memory. */
async function saveMetas(
  world: World,
  name: string,
  metasFile: string,
  { signal }: Following,
  timeoutMs: number,
): Promise<string | undefined> {
  try {
    await withTimeLimit(reading(name, timeoutMs), signal, (stop) => world.call('loaded', { name }, { signal: stop }));
    const gathered = await world.call('gatherMetas', { name, timeoutMs, metasFile }, { signal });
    return gathered.find(({ unwritten }) => unwritten !== undefined)?.unwritten;
  } catch (thrown) {
    const { code, message, hint, ...details } = toCheckpointEngineError(thrown);
    const what = `The engines have the new weights, but the metas were not saved: ${message}`;
    throw new CheckpointEngineError(code, what, hint, { ...details, cause: thrown });
  }
}

async function register(
  world: World,
  job: RankRegisterRequest,
  timeoutMs: number,
  following: Following,
): Promise<Ready> {
  const registered = await withTimeLimit(reading(job.name, timeoutMs), following.signal, (signal) =>
    world.call('register', job, { ...following, signal }),
  );
  return { name: job.name, registered, metasMs: [] };
}

function reading(name: string, timeoutMs: number): Parameters<typeof withTimeLimit>[0] {
  const hint = 'Look at the disk or file system that the files are on; raise --timeout if it is only slow';
  return { what: `Reading checkpoint "${name}"`, timeoutMs, hint };
}

async function load(world: World, { checkpoint: name, files }: ReadMetas, { signal }: Following): Promise<Ready> {
  const startedAtMs = performance.now();
  const [metas, ...fallbacks] = files.map((bytes) => Buffer.from(bytes).toString('base64'));
  await world.call('loadMetas', { metas: metas!, fallbacks }, { signal });
  const durationMs = performance.now() - startedAtMs;
  return { name, registered: world.ranks.map(() => undefined), metasMs: world.ranks.map(() => durationMs) };
}
