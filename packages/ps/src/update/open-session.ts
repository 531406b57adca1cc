import type { WorkerProtocol, WorkerSession } from '../session.ts';
import type { Agreement } from './agreement.ts';
import { sharesDevice } from './handles.ts';
import type { UpdateContext } from './update-context.ts';

/** Opens this rank's session with its worker. */
export function openSession(
  { store, device, rings, checkpoint, logger }: UpdateContext,
  protocol: WorkerProtocol,
  { proposals, counter }: Agreement,
  slots: number,
  timeoutMs: number,
): Promise<WorkerSession> {
  return protocol.createSession({
    deviceKind: device.kind,
    deviceUuid: device.uuid,
    updateId: `${checkpoint}:${counter}`,
    counter,
    rank: store.rank,
    rankInAddress: sharesDevice(proposals, store.rank),
    slots,
    bufferStays: rings.keeps,
    checkpoint,
    timeoutMs,
    logger,
  });
}
