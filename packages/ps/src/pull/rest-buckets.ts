import { takeMemory } from '../update/bucket-memory.ts';
import type { Contact } from '../update/handshake.ts';
import type { Meeting } from '../update/meet.ts';
import { movePass, openSourcesOf } from '../update/move-buckets.ts';
import { type PlannedUpdate, planUpdate } from '../update/plan-update.ts';
import { tensorsByName } from '../update/tensor-list.ts';
import { emitPlan, type MethodReport } from '../update/update-report.ts';
import type { UpdateRun } from '../update/update-run.ts';
import type { PullAgreement } from './agree-on-pull.ts';
import { has, isEmpty, metasOf } from './tensor-set.ts';

/** The buckets of a pull. */
export interface RestBuckets {
  /** Its context has only the tensors that arrive in buckets. */
  readonly run: UpdateRun;
  readonly planned: PlannedUpdate;
  /** Tensors to announce to this rank's worker. @default all */
  readonly only: ReadonlySet<string> | undefined;
}

/** The tensors that arrive in buckets: all, those that some worker does not copy itself, or none. */
export function restBuckets(
  run: UpdateRun,
  { roles, agreement }: Meeting,
  pulling: PullAgreement,
): RestBuckets | undefined {
  const { context, options } = run;
  const isWhole = pulling.method.name === 'buckets';
  if (!isWhole && isEmpty(pulling.rest)) return undefined;
  const metas = isWhole ? context.metas : metasOf(context.metas, pulling.rest);
  const rest = new TextDecoder('latin1').decode(pulling.rest);
  const metasDigest = metas === context.metas ? context.metasDigest : `${context.metasDigest}:${rest}`;
  const narrowed = { ...context, metas, metasDigest, wholeMetas: context.metas };
  const list = tensorsByName(context.metas);
  const own = pulling.offers.get(context.store.rank)!.rest;
  const only = isWhole ? undefined : new Set(list.metas.filter((_, index) => has(own, index)).map(({ name }) => name));
  return { run: { ...run, context: narrowed }, planned: planUpdate(narrowed, options, roles, agreement), only };
}

/**
 * Moves the buckets to this rank's worker.
 *
 * @returns A function that keeps the buffer for the next update.
 */
export async function moveRest(
  { run, planned, only }: RestBuckets,
  meeting: Meeting,
  contact: Contact,
  report: MethodReport,
): Promise<() => void> {
  const { context, waiting, watch, life } = run;
  const { link, agreement } = meeting;
  const source = await openSourcesOf(run, planned);
  emitPlan(run, meeting, planned, source, report);
  const group = await link?.group(agreement.groupGeneration, waiting);
  await context.links.trim();
  const memory = await takeMemory(run, meeting, planned);
  const handshake = { ...contact, ...memory, group };
  await movePass(run, meeting, planned, handshake, { source, isFirst: true, only });
  await source.close();
  if (memory.ring !== undefined && contact.session !== undefined) {
    watch.enter('release');
    await contact.session.release?.({ signal: life.signal });
  }
  return memory.keepRing;
}
