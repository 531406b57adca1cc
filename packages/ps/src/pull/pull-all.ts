import type { Needs, Places, WorkerProved } from '@checkpoint-engine/interface';
import { nowMs, untilAborted } from '@checkpoint-engine/interface/shared';
import type { HostChunk } from '@checkpoint-engine/planner';
import type { PullChannel } from '../pull-channel.ts';
import type { UpdateRun } from '../update/update-run.ts';
import type { HostAgreement, PullAgreement } from './agree-on-pull.ts';
import { ChunkNews, readChunks } from './host-ring.ts';
import type { SharedRings } from './share-rings.ts';

/** Lets this rank's worker copy all that it keeps, while this rank reads chunks into its ring. @returns Bytes */
export async function pullAll(
  run: UpdateRun,
  { answer, host, offers }: PullAgreement,
  rings: SharedRings,
  channel: PullChannel | undefined,
): Promise<number> {
  const { life, context, emit, waiting } = run;
  const { scope, plan } = host!;
  const { rank } = context.store;
  let bytes = 0;
  let index = 0;
  const pull = async (places: Places | undefined, sizeBytes: number): Promise<void> => {
    const event = { rank, stage: 'pull', bucket: index++ } as const;
    emit({ type: 'bucket-start', ...event, sizeBytes, atMs: nowMs() });
    const pulled = await channel!.pull(places, { signal: life.signal });
    bytes += pulled.bytes;
    emit({ type: 'bucket-end', ...event, sizeBytes: pulled.bytes, atMs: nowMs() });
  };
  if (scope.members.some((member) => offers.get(member)!.isFilling)) {
    await untilAborted(context.held?.fill?.loaded() ?? Promise.resolve(), life.signal);
    await scope.barrier('filled', waiting);
  }
  await passChunks(run, host!, rings, plan.chunks, {
    before: async () => {
      const pooledBytes = answer === undefined ? 0 : pooledBytesOf(answer.needs, plan.ownerOf);
      if (pooledBytes > 0) await pull(undefined, pooledBytes);
    },
    take: channel && ((places, { sizeBytes }) => pull(places, sizeBytes)),
  });
  return bytes;
}

/**
 * Lets this rank's worker compare what it loaded with the pools, and with the data that passes through the rings again.
 *
 *
 * @returns The worker's finding, or `undefined` if it does not compare.
 */
export async function proveAll(
  run: UpdateRun,
  { answer, host, offers, isProvable }: PullAgreement,
  rings: SharedRings,
  channel: PullChannel | undefined,
): Promise<WorkerProved | undefined> {
  const { context, life } = run;
  const { plan } = host!;
  const { rank } = context.store;
  const own = plan.proof.filter(({ receivers }) => receivers.includes(rank));
  const isCovered = answer?.needs.rest.every((index) => plan.ownerOf[index] === -1) ?? false;
  const proves = isProvable && (isCovered || offers.get(rank)!.provesParts);
  let left = own.length;
  let proved: WorkerProved | undefined;
  await passChunks(run, host!, rings, plan.proof, {
    before: async () => {
      if (proves) proved = await channel!.prove(undefined, left > 0, { signal: life.signal });
    },
    take:
      channel &&
      (async (places) => {
        left -= 1;
        proved = await channel.prove(places, left > 0, { signal: life.signal });
      }),
  });
  return proved;
}

interface Taking {
  /** Work to do while the first chunks are read. */
  before(): Promise<void>;
  /** Makes the worker copy a chunk. Absent if there is no worker. */
  readonly take: ((places: Places, chunk: HostChunk) => Promise<void>) | undefined;
}

/** Reads this rank's chunks into its ring, and makes its worker copy those of all rings that it needs. */
async function passChunks(
  run: UpdateRun,
  { scope }: HostAgreement,
  { ring, regionOf }: SharedRings,
  chunks: readonly HostChunk[],
  { before, take }: Taking,
): Promise<void> {
  const { life, context } = run;
  const news = new ChunkNews(run, scope);
  const reading = ring === undefined ? Promise.resolve() : readChunks({ run, scope, chunks, ring }, news);
  reading.catch(life.fail);
  try {
    await before();
    for (const chunk of chunks) {
      if (!chunk.receivers.includes(context.store.rank) || take === undefined) continue;
      await untilAborted(news.untilRead(chunk), life.signal);
      await take(placesOf(chunk, regionOf.get(chunk.readerRank)!), chunk);
      await news.announcePulled(chunk);
    }
    await untilAborted(reading, life.signal);
  } finally {
    // After this has settled, nothing writes to the ring any more.
    await reading.catch(() => {});
  }
}

/** Bytes of boxes that are in pools of the host. */
export function pooledBytesOf(
  { tensor, rows, rowBytes }: Pick<Needs, 'tensor' | 'rows' | 'rowBytes'>,
  ownerOf: Int32Array,
): number {
  let bytes = 0;
  for (let at = 0; at < tensor.length; at++) if (ownerOf[tensor[at]!] === -1) bytes += rows[at]! * rowBytes[at]!;
  return bytes;
}

function placesOf({ tensor, tensorOffsetBytes, rangeBytes, offsetBytes, place }: HostChunk, region: number): Places {
  return {
    tensor,
    tensorOffsetBytes,
    sizeBytes: rangeBytes,
    region: new Uint32Array(tensor.length).fill(region),
    offsetBytes: offsetBytes.map((offset) => place.offsetBytes + offset),
  };
}
