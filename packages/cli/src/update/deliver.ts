import { CheckpointEngineError, toCheckpointEngineError } from '@checkpoint-engine/interface';
import type { RegisteredCheckpoint } from '@checkpoint-engine/ps';
import type { DeliveryRequest, RankRegisterRequest } from '../config/requests.ts';
import { loadMetasAt } from '../process/metas-transfer.ts';
import { withTimeLimit } from '../process/time-limit.ts';
import type { CallOptions, World } from '../process/world.ts';
import { bothOrNone } from './both-or-none.ts';
import type { RankReport } from './rank-report.ts';
import type { ReadMetas } from './read-metas.ts';

type Following = CallOptions & { readonly signal: AbortSignal };

/** The work to do. Its metas are already read, so their problems are reported before ranks start. */
export interface Delivery extends Omit<DeliveryRequest, 'source'> {
  readonly source: { readonly register: RankRegisterRequest } | { readonly load: ReadMetas };
}

/** The result of the work. */
export interface Delivered {
  /** For each update the reports of the ranks that this process runs or supervises. */
  readonly reports: readonly (readonly RankReport[])[];
  /** The reason why the metas file was not written, although the updates succeeded. */
  readonly unwrittenMetas?: string | undefined;
  /** Files on `/dev/shm` that were used in place and removed at the end. */
  readonly removedFiles: readonly string[];
}

/** The source of the updates. */
interface Ready {
  readonly name: string;
  /** By rank. Absent if others hold the weights. */
  readonly registered: readonly (RegisteredCheckpoint | undefined)[];
  /** By rank: the duration of gathering or loading the metas. */
  readonly metasMs: readonly number[];
}

/**
 * Runs all updates of one checkpoint. Reads the checkpoint while engines that have just started become ready. Called
 * by all processes of the world.
 *
 * @throws The first failure of any rank. The message of a failure after the updates states that the engines have the weights.
 */
export async function deliver(
  world: World,
  { source, updates, metasFile }: Delivery,
  following: Following,
): Promise<Delivered> {
  const { signal } = following;
  const [{ targets, ranks, timeoutMs }] = updates as [(typeof updates)[0]];
  // Connects while files are read. The update waits for it and reports the error if it fails.
  if (ranks === undefined) world.call('connect', { targets, timeoutMs }, { signal }).catch(() => {});
  const [{ name, registered, metasMs }] = await bothOrNone(signal, [
    (stop) => {
      const own = { ...following, signal: stop };
      return 'load' in source ? load(world, source.load, own) : register(world, source.register, timeoutMs, own);
    },
    (stop) => world.call('engineReady', { targets, ranks, timeoutMs }, { signal: stop }),
  ]);
  // All ranks must have registered.
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
  // An interruption before this point leaves the files in place.
  signal.throwIfAborted();
  const removedFiles = 'load' in source ? [] : await removeFiles(world, name);
  return { reports, unwrittenMetas, removedFiles };
}

/** The work is done: an interruption here is not a failure. */
async function removeFiles(world: World, name: string): Promise<readonly string[]> {
  const removed = await world.call('removeFiles', { name }).catch(() => []);
  return removed.flat().sort();
}

/** Other worlds read the tensors in the metas, so all of them must be in host memory. */
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
  request: RankRegisterRequest,
  timeoutMs: number,
  following: Following,
): Promise<Ready> {
  const registered = await withTimeLimit(reading(request.name, timeoutMs), following.signal, (signal) =>
    world.call('register', request, { ...following, signal }),
  );
  return { name: request.name, registered, metasMs: [] };
}

function reading(name: string, timeoutMs: number): Parameters<typeof withTimeLimit>[0] {
  const hint = 'Check the disk or file system of the files; raise --timeout if it is only slow';
  return { what: `Reading checkpoint "${name}"`, timeoutMs, hint };
}

async function load(world: World, { checkpoint: name, files }: ReadMetas, { signal }: Following): Promise<Ready> {
  const startedAtMs = performance.now();
  const [metas, ...fallbacks] = files;
  await loadMetasAt((call, request) => world.call(call, request, { signal }), metas!, fallbacks);
  const durationMs = performance.now() - startedAtMs;
  return { name, registered: world.ranks.map(() => undefined), metasMs: world.ranks.map(() => durationMs) };
}
