import type { WorkerChoice } from '@checkpoint-engine/engines';
import type { Store } from '@checkpoint-engine/interface';
import type { UpdateOptions } from '../api.ts';
import { type Agreement, agree } from './agreement.ts';
import type { BroadcastLink } from './broadcast-link.ts';
import { type ChosenWorkers, chooseWorkers, startChoosing } from './choose-workers.ts';
import { propose } from './propose.ts';
import { assignRoles, type Roles, receiversOf } from './roles.ts';
import type { UpdateContext } from './update-context.ts';
import type { UpdateRun } from './update-run.ts';
import type { UpdateVersion } from './update-version.ts';
import { versionOf } from './weight-version.ts';

/** The agreement of the ranks, and this rank's part in it. */
export interface Meeting {
  readonly agreement: Agreement;
  readonly roles: Roles;
  /** The update's own scope of the store. */
  readonly epoch: Store;
  /** The group in which this rank broadcasts. */
  readonly link: BroadcastLink | undefined;
  /** Whether buckets pass through this rank. Other ranks serve reads, if they hold anything, and wait for the end. */
  readonly moves: boolean;
  readonly chosen: ChosenWorkers;
  readonly version: UpdateVersion;
}

/** Meets the other ranks. @param purpose `verify`: no bytes move to the receiving ranks, so no transport is needed. */
export async function meet(run: UpdateRun, purpose: 'update' | 'verify' = 'update'): Promise<Meeting> {
  const { context, options, protocol, life, cleanup, waiting } = run;
  const { store, links, checkpoint } = context;
  const { rank } = store;
  let roles!: Roles;
  let link: BroadcastLink | undefined;
  let choosing: Promise<WorkerChoice> | undefined;
  life.signal.addEventListener('abort', () => link?.abort(life.failure), { once: true });
  life.afterFailure(() => leaveGroup(link, context));
  const agreement = await agree(
    store,
    checkpoint,
    () => {
      roles = purpose === 'update' ? rolesOf(context, options) : idleRoles(context, options);
      if (roles.group.includes(rank)) link = links.of(roles.group);
      choosing = startChoosing(run, roles.receivers);
      if (!options.chooseWorkers) for (const { tensors } of context.metas) protocol.check?.(tensors);
      return { proposal: propose(context, options, protocol, link), group: roles.group };
    },
    waiting,
  );
  context.updates.last = agreement.counter;
  const version = versionOf(context, options, agreement);
  run.verifier.begin(agreement.counter, { isDerived: version.known === undefined });
  links.generation = Math.max(links.generation, agreement.groupGeneration);
  const epoch = cleanup.use(store.epoch(`update:${agreement.counter}`));
  life.follow(epoch);
  life.onFailure((failure) => epoch.abort(failure));
  const moves = roles.receivers.includes(rank) || link !== undefined;
  const chosen = await chooseWorkers(run, epoch, roles.receivers, choosing);
  return { agreement, roles, epoch, link, moves, chosen, version };
}

/** Best effort: the next update creates a new group. */
export async function leaveGroup(
  link: BroadcastLink | undefined,
  { logger, store: { rank } }: UpdateContext,
): Promise<void> {
  await link?.drop().catch((cause) => logger.warn({ rank, cause }, 'Leaving the broadcast group failed'));
}

function idleRoles({ store: { members } }: UpdateContext, { ranks, inferenceParallelSize }: UpdateOptions): Roles {
  return { receivers: receiversOf({ members, ranks, inferenceParallelSize }), group: [], reads: false };
}

function rolesOf({ store, metas, isForeign, links, p2p }: UpdateContext, options: UpdateOptions): Roles {
  return assignRoles({
    members: store.members,
    ranks: options.ranks,
    metas,
    isForeign,
    hasBroadcast: links.hasTransport,
    hasP2P: p2p !== undefined,
    inferenceParallelSize: options.inferenceParallelSize,
  });
}
