import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { hintOf } from './known-failures.ts';

/** The worker and its address, which are part of every error. */
export interface Worker {
  readonly deviceUuid: string;
  readonly rank: number;
  readonly address: string;
}

/** The task of the worker; completes "did not ...". */
export type Task =
  | 'connect'
  | 'open the buffer'
  | 'release the buffer'
  | 'run its post-load hook'
  | `take bucket ${number}`;

const SAME_NAMESPACES =
  'let both processes share the network, IPC and PID namespaces (containers: --network=host --ipc=host --pid=host)';

export function workerTimedOut(worker: Worker, task: Task, timeoutMs: number): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_WORKER_TIMEOUT',
    `The worker on device "${worker.deviceUuid}" did not ${task} within ${timeoutMs} ms`,
    task === 'connect'
      ? `Check in the engine's log that it received the update request and runs on this device, and ${SAME_NAMESPACES}`
      : "Check the engine's log; raise the time-out if the engine is only slow",
    details(worker, task),
  );
}

export function workerLost(worker: Worker, task: Task): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_WORKER_LOST',
    `The worker on device "${worker.deviceUuid}" ended before it could ${task}`,
    task === 'run its post-load hook'
      ? "Check the engine's log for the exception of its post-load hook; without an engine's answer, workers of checkpoint-engine before 0.4.0 need the option endsOnRelease"
      : "Check the engine's log for why the worker died, restart it, and run the update again",
    details(worker, task),
  );
}

/** The error for a reply that is not empty: the text of the worker's traceback. */
export function workerRefused(worker: Worker, task: Task, reply: Uint8Array): CheckpointEngineError {
  if (reply[0] === 0x80) {
    return new CheckpointEngineError(
      'CE_WORKER_PROTOCOL',
      `The worker on device "${worker.deviceUuid}" failed to ${task} and sent the reason as a pickle, which is never read`,
      "Check the engine's log; install checkpoint-engine 0.2.2 or newer in the engine to see the traceback here",
      details(worker, task),
    );
  }
  const traceback = new TextDecoder().decode(reply).trimEnd();
  return new CheckpointEngineError(
    'CE_WORKER_FAILED',
    `The worker on device "${worker.deviceUuid}" failed to ${task}: ${lastLine(traceback)}`,
    task === 'open the buffer'
      ? `Read the worker's traceback in detail; if CUDA rejects the handle, ${SAME_NAMESPACES}`
      : (hintOf(traceback) ??
          "Read the worker's traceback in detail: the model's load_weights or its post-load hook raised it"),
    { ...details(worker, task), detail: traceback },
  );
}

const details = ({ rank, address }: Worker, op: string) => ({ rank, peer: address, op });

/** Returns the line of the exception: the last one that is not indented, because messages may have several lines. */
function lastLine(traceback: string): string {
  const lines = traceback.split('\n');
  return lines.findLast((line) => line !== '' && !line.startsWith(' ')) ?? traceback;
}
