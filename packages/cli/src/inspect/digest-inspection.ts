import { digestText } from '@checkpoint-engine/interface';
import { nowMs } from '@checkpoint-engine/interface/shared';
import { tensorDigests } from '@checkpoint-engine/meta';
import type { CommandContext } from '../command-context.ts';
import { digestCheckpoint } from '../digests/digest-checkpoint.ts';
import { createLogger, LogSink } from '../output/log.ts';
import { watchInterrupts } from '../process/interrupts.ts';
import { openProgress } from '../progress/open-progress.ts';
import type { Inspection } from './inspect-checkpoint.ts';

/** The digests to compute from the bytes of the files. */
export interface WantedDigests {
  readonly digests: boolean;
  readonly sha256: boolean;
}

/**
 * Reads the files of an inspection once and adds the requested digests. Files with problems are not read.
 *
 * @throws `CE_FILE_CHANGED`, `CE_FILE_*`, `CE_ABORTED`
 */
export async function digestInspection(
  inspection: Inspection,
  { digests, sha256 }: WantedDigests,
  { terminal }: Pick<CommandContext, 'terminal'>,
): Promise<Inspection> {
  if (!(digests || sha256) || inspection.problems.length > 0) return inspection;
  const sink = new LogSink(terminal, 'pretty');
  const logger = createLogger('warn', sink);
  const title = `Reading ${inspection.path}`;
  const progress = await openProgress({ title, rankCount: 1, live: true, terminal, sink, logger });
  const interrupts = watchInterrupts();
  try {
    const { files, metas, digest } = await digestCheckpoint(inspection, {
      ...{ name: 'inspect', sha256, signal: interrupts.asked },
      onProgress: (doneBytes, totalBytes) =>
        progress.onEvent({ type: 'register', rank: 0, doneBytes, totalBytes, atMs: nowMs() }),
    });
    const sums = tensorDigests(metas)!;
    const byTensor = new Map(metas.tensors.map(({ name }, index) => [name, digestText(sums[index]!)]));
    return {
      ...inspection,
      digested: {
        ...(digests ? { digest, byTensor } : {}),
        ...(sha256 ? { sha256ByPath: new Map(files.map((file) => [file.path, file.sha256!])) } : {}),
      },
    };
  } finally {
    progress.close();
    interrupts.stop();
  }
}
