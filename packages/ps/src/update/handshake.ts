import type { BroadcastGroup } from '@checkpoint-engine/interface';
import { untilAborted } from '@checkpoint-engine/interface/shared';
import { checkHeldFiles } from '../pool/check-held-files.ts';
import type { WorkerSession } from '../session.ts';
import { type BucketMemory, lendMemory } from './bucket-memory.ts';
import { gatherHandles, type InferenceGroup } from './handles.ts';
import type { Meeting } from './meet.ts';
import { openSession } from './open-session.ts';
import type { PlannedUpdate } from './plan-update.ts';
import type { UpdateRun } from './update-run.ts';
import type { UpdateVersion } from './update-version.ts';

/** The memory that buckets pass through, and the worker that waits for them. */
export interface Handshake extends Contact, BucketMemory {
  readonly group: BroadcastGroup | undefined;
}

/** The facts about workers that the ranks have exchanged. */
export interface Contact {
  /** Absent if this rank receives nothing. */
  readonly session: WorkerSession | undefined;
  readonly inference: InferenceGroup;
  /** The engine's answer, if this rank sent it a request. */
  readonly request: Promise<void>;
  /** This rank's worker holds the weights. */
  markLoaded(): void;
}

/**
 * Allocates the memory that buckets pass through, exchanges the workers' addresses, and sends the request to the
 * engine.
 */
export async function shakeHands(
  run: UpdateRun,
  meeting: Meeting,
  planned: PlannedUpdate,
  group: BroadcastGroup | undefined,
): Promise<Handshake> {
  const lent = await lendMemory(run, meeting, planned);
  const own = { slots: planned.sizing.ringSlots, ring: lent.handle };
  const contact = await callWorkers(run, meeting, own, meeting.version);
  const memory = await lent.open(contact.inference.ringOf(lent.owner));
  return { ...contact, ...memory, group };
}

/**
 * Opens this rank's address for its worker, exchanges all addresses, and sends the request to the engine, after all
 * ranks have checked their files.
 *
 * @param version That the engine holds after the request; undefined if the request does not change weights.
 */
export async function callWorkers(
  run: UpdateRun,
  meeting: Meeting,
  own: { readonly slots: number; readonly ring: Uint8Array | undefined },
  version: UpdateVersion | undefined,
): Promise<Contact> {
  const { context, options, life, cleanup, waiting } = run;
  const { agreement, roles, epoch, chosen } = meeting;
  const checked = version === undefined ? Promise.resolve() : checkFiles(run);
  // The exchange reports it.
  checked.catch(() => {});
  let session: WorkerSession | undefined;
  const inference = await gatherHandles(
    epoch,
    context.device.uuid,
    roles.receivers,
    {
      address: async () => {
        session = cleanup.use(await openSession(context, chosen.protocol, agreement, own.slots, life.timeoutMs));
        life.onFailure((failure) => session!.fail(failure));
        return session.address;
      },
      ring: own.ring,
      ready: checked,
    },
    options.inferenceParallelSize,
    waiting,
  );
  let markLoaded = (): void => {};
  const loaded = new Promise<void>((resolve) => {
    markLoaded = resolve;
  });
  const request = inference.isHead ? askEngine(run, inference, version, loaded) : Promise.resolve();
  request.catch(life.fail);
  return { session, inference, request, markLoaded };
}

/** Checks this rank's files before any engine receives a request. */
async function checkFiles({ context, waiting }: UpdateRun): Promise<void> {
  const { held, isForeign, logger, store } = context;
  if (held === undefined || isForeign) return;
  const checking = checkHeldFiles(held, { signal: waiting.signal, logger, rank: store.rank });
  await untilAborted(checking, waiting.signal);
}

async function askEngine(
  { options, waiting, watch }: UpdateRun,
  { handles, index }: InferenceGroup,
  version: UpdateVersion | undefined,
  loaded: Promise<void>,
): Promise<void> {
  const startedAtMs = performance.now();
  const versions = { weightVersion: version?.known, settledVersion: version?.settled };
  await options.requestEngine({ handles, groupIndex: index, ...versions, loaded, ...waiting });
  watch.addEnginePause(performance.now() - startedAtMs);
}
