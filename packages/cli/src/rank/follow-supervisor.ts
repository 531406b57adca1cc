import type { Readable } from 'node:stream';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { parseMessage, readLines } from '../process/json-lines.ts';
import type { ToRank } from '../process/messages.ts';

/** A message that asks a rank to do something. */
export type RankRequest = Extract<ToRank, { type: 'open' | 'update' }>;

/** What {@link followSupervisor} calls. */
export interface SupervisorHandlers {
  /** Does what is asked for. Called for one request after the other. */
  readonly handle: (request: RankRequest) => Promise<void>;
  /** Fails what is under way. Called at once. */
  readonly abort: (error: CheckpointEngineError) => void;
}

/**
 * Does what a supervisor writes to this rank's input. Resolves when it says that this was all.
 *
 * @throws The first failure of a request; `CE_ABORTED` when the input ends too early: the supervisor is gone.
 */
export async function followSupervisor(input: Readable, { handle, abort }: SupervisorHandlers): Promise<void> {
  let isClosed = false;
  let work: Promise<void> = Promise.resolve();
  let fail!: (error: unknown) => void;
  const failed = new Promise<never>((_, reject) => {
    fail = reject;
  });
  const ended = readLines(input, (line) => {
    const message = parseMessage(line) as ToRank | undefined;
    if (message?.type === 'abort') {
      abort(CheckpointEngineError.fromJSON(message.error));
    } else if (message?.type === 'close') {
      isClosed = true;
    } else if (message) {
      work = work.then(() => handle(message));
      work.catch(fail);
    }
  });
  await Promise.race([ended, failed]);
  if (!isClosed) abort(orphanedError());
  await work;
  if (!isClosed) throw orphanedError();
}

function orphanedError(): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_ABORTED',
    'The process that started this rank is gone',
    'Start the update again: the workers were told that this one failed',
  );
}
