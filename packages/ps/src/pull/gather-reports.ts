import { digestText, type Store } from '@checkpoint-engine/interface';
import { decodeFromRank } from '@checkpoint-engine/store/internal';
import { encode } from '@msgpack/msgpack';
import type { UpdateRun } from '../update/update-run.ts';
import { exchange } from '../util/exchange.ts';
import type { HeldReport } from '../verify/compare-held.ts';
import type { DifferingRange, VerifyReport } from '../verify/verify-report.ts';

const MAX_LISTED = 100;

interface RankReport {
  readonly checkedBytes: number;
  readonly checkedTensors: readonly string[];
  readonly differing: readonly DifferingRange[];
  readonly differingCount: number;
  readonly unverified: readonly string[];
}

/** Combines what all ranks have found. Equal on all ranks. */
export async function gatherReports(
  { waiting }: UpdateRun,
  epoch: Store,
  { checkedBytes, checkedTensors, differing, unverified }: HeldReport,
): Promise<Omit<VerifyReport, 'checkpoint' | 'digest'>> {
  const own: RankReport = {
    ...{ checkedBytes, checkedTensors, unverified, differingCount: differing.length },
    differing: differing.slice(0, MAX_LISTED).map(({ leg: _, expected, seen, otherRanks = [], ...place }) => ({
      ...place,
      otherRanks,
      expected: digestText(expected),
      seen: digestText(seen),
    })),
  };
  const replies = await exchange(epoch, 'verified', () => encode(own), waiting);
  const reports = replies.map((reply) => decodeFromRank<RankReport>(reply));
  const all = reports.flatMap((report) => report.differing);
  const unverifiedNames = [...new Set(reports.flatMap((report) => report.unverified))].sort();
  return {
    checkedBytes: reports.reduce((sum, report) => sum + report.checkedBytes, 0),
    checkedTensors: new Set(reports.flatMap((report) => report.checkedTensors)).size,
    differing: all.slice(0, MAX_LISTED),
    differingCount: reports.reduce((sum, report) => sum + report.differingCount, 0),
    unverified: unverifiedNames.slice(0, MAX_LISTED),
    unverifiedTensors: unverifiedNames.length,
  };
}
