import type { Needs, Places } from '@checkpoint-engine/interface';
import type { PullChannel } from '../pull-channel.ts';
import type { HostChunk } from '../update/host-plan.ts';
import type { UpdateRun } from '../update/update-run.ts';
import { untilAborted } from '../util/until-aborted.ts';
import type { PullAgreement } from './agree-on-pull.ts';
import { ChunkNews, readChunks } from './host-ring.ts';
import type { SharedRings } from './share-rings.ts';

/** What a pull brought to this rank's worker. */
export interface Pulled {
  readonly bytes: number;
}

/** Has this rank's worker copy all that it keeps, while this rank reads what passes through its ring. */
export async function pullAll(
  run: UpdateRun,
  { answer, host, offers }: PullAgreement,
  { ring, regionOf }: SharedRings,
  channel: PullChannel | undefined,
): Promise<Pulled> {
  const { life, context, emit, waiting } = run;
  const { scope, plan } = host!;
  const { rank } = context.store;
  let bytes = 0;
  const pull = async (index: number, places: Places | undefined, sizeBytes: number): Promise<void> => {
    const event = { rank, stage: 'pull', bucket: index } as const;
    emit({ type: 'bucket-start', ...event, sizeBytes, atMs: now() });
    const pulled = await channel!.pull(places, { signal: life.signal });
    bytes += pulled.bytes;
    emit({ type: 'bucket-end', ...event, sizeBytes: pulled.bytes, atMs: now() });
  };
  const news = new ChunkNews(run, scope);
  const reading = ring === undefined ? Promise.resolve() : readChunks({ run, scope, chunks: plan.chunks, ring }, news);
  reading.catch(life.fail);
  try {
    if (scope.members.some((member) => offers.get(member)!.isFilling)) {
      await untilAborted(context.held?.fill?.loaded() ?? Promise.resolve(), life.signal);
      await scope.barrier('filled', waiting);
    }
    let index = 0;
    const pooledBytes = answer === undefined ? 0 : pooledBytesOf(answer.needs, plan.ownerOf);
    if (pooledBytes > 0) await pull(index++, undefined, pooledBytes);
    for (const chunk of plan.chunks) {
      if (!chunk.receivers.includes(rank) || channel === undefined) continue;
      await untilAborted(news.untilRead(chunk), life.signal);
      await pull(index++, placesOf(chunk, regionOf.get(chunk.readerRank)!), chunk.sizeBytes);
      await news.tellPulled(chunk);
    }
    await untilAborted(reading, life.signal);
  } finally {
    // Nothing writes to the ring any more when this has settled.
    await reading.catch(() => {});
  }
  return { bytes };
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

/** Milliseconds since the epoch with the resolution of a monotonic clock. */
const now = (): number => performance.timeOrigin + performance.now();
