import { type ModuleReport, moduleReport, moduleReportText, type NeedsSummary } from '@checkpoint-engine/interface';
import { boxBytes } from '@checkpoint-engine/planner';
import type { Meeting } from '../update/meet.ts';
import type { UpdateContext } from '../update/update-context.ts';
import { type MethodReport, wholeBuckets } from '../update/update-report.ts';
import type { UpdateRun } from '../update/update-run.ts';
import type { PullAgreement } from './agree-on-pull.ts';

/** The report of a pull: what this rank's worker copies itself, and what this rank reads for its host. */
export function pullReport(context: UpdateContext, meeting: Meeting, pulling: PullAgreement): MethodReport {
  const { rank } = context.store;
  const { method, offers, answer, host } = pulling;
  const chunks = host?.plan.chunks ?? [];
  return {
    // A worker that says nothing takes everything.
    ...wholeBuckets(context, meeting, method),
    ...(answer === undefined ? {} : { neededBytes: offers.get(rank)!.neededBytes }),
    pullBytes: answer === undefined || host === undefined ? 0 : boxBytes(answer.needs),
    readBytes: chunks.reduce((sum, chunk) => sum + (chunk.readerRank === rank ? chunk.sizeBytes : 0), 0),
  };
}

/** Logs what was decided for the modules of this rank's worker, and why. Returns it for the result of the update. */
export function reportModules({ context }: UpdateRun, summary: NeedsSummary): ModuleReport {
  const { logger, store, checkpoint } = context;
  const report = moduleReport(summary);
  const { modules, direct, staged, opaque } = report;
  logger.info({ rank: store.rank, checkpoint, modules, direct, staged, opaque }, moduleReportText(report));
  return report;
}
