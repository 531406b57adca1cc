import { type SerializedError, toCheckpointEngineError } from '@checkpoint-engine/interface';
import { boundError } from '@checkpoint-engine/interface/wire';

/** Converts an error for other ranks: adds the rank where it occurred, and shortens it to fit into one frame. */
export function toWireError(error: Error, rank: number): SerializedError {
  const data = toCheckpointEngineError(error).toJSON();
  return boundError({ ...data, rank: data.rank ?? rank });
}
