import type { WorkerChoice } from '@checkpoint-engine/engines';
import { CheckpointEngineError, type Store } from '@checkpoint-engine/interface';
import { decode, encode } from '@msgpack/msgpack';
import type { WorkerProtocol } from '../session.ts';
import { exchange } from '../util/exchange.ts';
import { v1Protocol } from '../v1/index.ts';
import { v2Protocol } from '../v2/protocol.ts';
import type { UpdateRun } from './update-run.ts';

/** The protocol of this rank's worker, and whether the workers of any rank may load again. */
export interface ChosenWorkers {
  readonly protocol: WorkerProtocol;
  readonly passes: 'one' | 'any';
  /** The protocols of all workers have a pull. */
  readonly pulls: boolean;
}

/**
 * Lets the first rank of each inference group detect the protocol of the group's workers, and tells all ranks. Does
 * nothing if the caller has chosen the protocol.
 *
 * @param receivers Ascending.
 * @throws `CE_DTYPE_UNKNOWN` A chosen protocol cannot describe a tensor.
 */
export async function chooseWorkers(
  { context, options, protocol, waiting }: UpdateRun,
  epoch: Store,
  receivers: readonly number[],
): Promise<ChosenWorkers> {
  const { chooseWorkers: choose, inferenceParallelSize, passes = 'one' } = options;
  if (choose === undefined) return { protocol, passes, pulls: protocol.pulls === true };
  const { rank } = context.store;
  const groupOf = (of: number): number =>
    inferenceParallelSize === undefined ? 0 : Math.floor(of / inferenceParallelSize);
  const headOf = (of: number): number | undefined => receivers.find((other) => groupOf(other) === groupOf(of));
  const produce = async (): Promise<Uint8Array> => {
    const isHead = receivers.includes(rank) && headOf(rank) === rank;
    return encode(isHead ? await choose({ groupIndex: groupOf(rank), ...waiting }) : null);
  };
  const replies = await exchange(epoch, 'workers', produce, waiting);
  const choices = replies.map((reply) => decode(reply) as WorkerChoice | null);
  const all = choices.filter((choice) => choice !== null);
  const protocols = new Map([...new Set(all.map(({ workers }) => workers))].map((name) => [name, protocolOf(name)]));
  for (const used of protocols.values()) for (const { tensors } of context.metas) used.check?.(tensors);
  const head = headOf(rank);
  const own = head === undefined ? undefined : choices[epoch.members.indexOf(head)];
  const loadsAgain = all.some((choice) => choice.passes === 'any');
  return {
    protocol: own ? protocols.get(own.workers)! : protocol,
    passes: loadsAgain ? 'any' : 'one',
    pulls: [...protocols.values()].every(({ pulls }) => pulls === true),
  };
}

function protocolOf(name: string): WorkerProtocol {
  if (name === 'v1') return v1Protocol();
  if (name === 'v2') return v2Protocol();
  throw new CheckpointEngineError(
    'CE_CONFIG_INVALID',
    `chooseWorkers chose the protocol "${name}"`,
    'Return v1 or v2 from chooseWorkers',
  );
}
