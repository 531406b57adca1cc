import type { CheckpointSource } from '../registration.ts';
import type { HeldCheckpoint } from './held-checkpoint.ts';
import { holdFiles } from './hold-files.ts';
import { holdStream } from './hold-stream.ts';
import { holdTensors } from './hold-tensors.ts';
import type { PoolContext } from './pool-context.ts';

/** Holds a checkpoint as its source specifies. Releases everything before it rejects. */
export async function hold(name: string, source: CheckpointSource, context: PoolContext): Promise<HeldCheckpoint> {
  if ('tensors' in source) return holdTensors(name, source.tensors, context);
  if (source.stream === true && source.load === 'background') {
    throw new TypeError('`stream` and `load: "background"` exclude each other');
  }
  return source.stream === true ? holdStream(source, context) : holdFiles(source, context);
}
