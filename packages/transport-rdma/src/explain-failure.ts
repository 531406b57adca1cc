import { connect } from 'node:net';
import type { CheckpointEngineError } from '@checkpoint-engine/interface';
import { splitAddress } from './address.ts';
import { EngineRefusal } from './engine/engine-process.ts';
import { lost, notRegistered, unreachable } from './errors.ts';
import type { ReadBatch } from './read-batch.ts';

const probeMs = 2000;

/**
 * Explains why a transfer failed, because Mooncake gives no reason. Either the owner's engine is gone, or it answers.
 * If it answers, it refused the range, or, if its owner has just confirmed the range, the connection failed on this
 * side.
 */
export async function explainFailure(peer: string, batch: ReadBatch, error: Error): Promise<CheckpointEngineError> {
  const details = { status: error instanceof EngineRefusal ? error.status : undefined, cause: error };
  const failure = await whyNotReached(peer);
  if (failure !== undefined) return unreachable(peer, failure, details);
  if (batch.key === undefined) return notRegistered(peer, 'its engine refused it', details);
  return lost(peer, details);
}

/** Tries to reach the owner's engine. Returns the obstacle, if there is one. */
function whyNotReached(peer: string): Promise<Error | undefined> {
  return new Promise((resolve) => {
    const socket = connect(splitAddress(peer));
    const end = (failure?: Error): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(failure);
    };
    const timer = setTimeout(() => end(new Error(`no answer within ${probeMs} ms`)), probeMs);
    socket.once('connect', () => end()).once('error', end);
  });
}
