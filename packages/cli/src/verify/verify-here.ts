import type { Logger } from '@checkpoint-engine/interface';
import { nowMs } from '@checkpoint-engine/interface/shared';
import { decodeWorldMetas, encodeWorldMetas, readCheckpoint } from '@checkpoint-engine/meta';
import type { ProgressEvent } from '@checkpoint-engine/ps';
import type { CommandContext } from '../command-context.ts';
import type { VerifyConfig, VerifySource } from '../config/verify-config.ts';
import { digestCheckpoint } from '../digests/digest-checkpoint.ts';
import type { DigestedFile } from '../digests/digest-file.ts';
import { plural } from '../output/format.ts';
import type { LogSink } from '../output/log.ts';
import { rankLogLine } from '../output/rank-log-line.ts';
import type { Interrupts } from '../process/interrupts.ts';
import { loadMetasAt } from '../process/metas-transfer.ts';
import { withTimeLimit } from '../process/time-limit.ts';
import type { World } from '../process/world.ts';
import { openProgress } from '../progress/open-progress.ts';
import { resolveDeviceKind } from '../rank/open-device.ts';
import { sweepLeftovers } from '../rank/sweep-leftovers.ts';
import { bothOrNone } from '../update/both-or-none.ts';
import { openWorld } from '../update/open-world.ts';
import { readMetas } from '../update/read-metas.ts';
import { type Verification, verdictOf } from './verification.ts';

/** A checkpoint to compare with. */
interface Compared {
  readonly name: string;
  /** Encoded metas with digests. */
  readonly metas: Uint8Array;
  readonly files?: readonly DigestedFile[] | undefined;
  readonly tensorCount: number;
  readonly warnings: readonly string[];
}

/** The part of the command's context that the verification uses. */
export interface VerifyTools extends Pick<CommandContext, 'terminal' | 'env'> {
  readonly logger: Logger;
  readonly sink: LogSink;
  readonly interrupts: Interrupts;
}

/**
 * Compares engines of this machine with files or with metas: ranks on this machine ask the workers for digests.
 *
 * @throws The first failure, after everything is released.
 */
export async function verifyHere(
  config: VerifyConfig & { readonly source: VerifySource },
  { terminal, env, logger, sink, interrupts }: VerifyTools,
): Promise<Verification> {
  const { source, worldSize, ranks, timeoutMs, limits, log, json } = config;
  const targets = config.targets!;
  const deviceKind = await resolveDeviceKind(config.device, worldSize);
  const title = `Verifying ${targets.engine} on ${plural(worldSize, 'rank')}`;
  // One process reads the files.
  const live = !json && log.logFormat === 'pretty';
  const progress = await openProgress({ title, rankCount: 1, live, terminal, sink, logger });
  const update = { targets, ranks, timeoutMs };
  let world: World | undefined;
  const startedAtMs = performance.now();
  try {
    world = await openWorld({
      config: { worldSize, limits, log, delivery: { updates: [{ ...update, method: 'buckets' }] } },
      ...{ deviceKind, env, logger, interrupts },
      onLogLine: (line, rank) => sink.writeLine(rankLogLine(line, rank)),
    });
    const opened = world;
    const [compared] = await bothOrNone(interrupts.asked, [
      (signal) => read(source, timeoutMs, signal, (event) => progress.onEvent(event)),
      async (signal) => {
        await opened.call('engineReady', update, { signal });
        await opened.call('checkVerifiable', update, { signal });
      },
    ]);
    const readAtMs = performance.now();
    const following = { signal: interrupts.asked };
    await loadMetasAt((call, request) => opened.call(call, request, following), compared.metas);
    const [report] = await world.call('verify', { ...update, name: compared.name }, following);
    const verifiedAtMs = performance.now();
    const answers = await world.call('heldVersion', update, following);
    const { files, tensorCount, warnings } = compared;
    return {
      ...report!,
      ...verdictOf(report!),
      ...{ files, tensorCount, warnings, worldSize },
      instances: answers.filter((answer) => answer !== null),
      durationsMs: { read: readAtMs - startedAtMs, verify: verifiedAtMs - readAtMs },
    };
  } finally {
    progress.close();
    await world?.close();
    await sweepLeftovers(logger);
  }
}

async function read(
  { from, name }: VerifySource,
  timeoutMs: number,
  signal: AbortSignal,
  onEvent: (event: ProgressEvent) => void,
): Promise<Compared> {
  if ('metasFile' in from) {
    const { checkpoint, files } = await readMetas({ files: [from.metasFile], name });
    const metas = decodeWorldMetas(files[0]!);
    const tensorCount = metas.reduce((sum, { tensors }) => sum + countSized(tensors), 0);
    return { name: checkpoint, metas: files[0]!, tensorCount, warnings: [] };
  }
  const hint = 'Check the disk or file system of the files; raise --timeout if it is only slow';
  const what = `Reading checkpoint "${name}"`;
  return await withTimeLimit({ what, timeoutMs, hint }, signal, async (stop) => {
    const checkpoint = await readCheckpoint(from.path, { signal: stop });
    const { files, metas } = await digestCheckpoint(checkpoint, {
      ...{ name: name!, sha256: from.sha256, signal: stop },
      onProgress: (doneBytes, totalBytes) =>
        onEvent({ type: 'register', rank: 0, doneBytes, totalBytes, atMs: nowMs() }),
    });
    const { warnings, tensors } = checkpoint;
    return { name: name!, metas: encodeWorldMetas([metas]), files, tensorCount: countSized(tensors), warnings };
  });
}

/** Tensors without bytes are not compared. */
function countSized(tensors: readonly { readonly sizeBytes: number }[]): number {
  return tensors.filter(({ sizeBytes }) => sizeBytes > 0).length;
}
