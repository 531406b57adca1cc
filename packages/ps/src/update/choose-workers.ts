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
  /** Whether the protocols of all workers have a pull. */
  readonly pulls: boolean;
}

/**
 * Starts to detect the protocol of this rank's inference group, if this is its first rank: the answer of an engine
 * takes longer than the meeting of the ranks.
 *
 * @param receivers Ascending.
 * @returns `undefined` at other ranks, and if the caller has chosen the protocol.
 */
export function startChoosing(
  { context, options, waiting }: UpdateRun,
  receivers: readonly number[],
): Promise<WorkerChoice> | undefined {
  const { chooseWorkers: choose, inferenceParallelSize } = options;
  const { rank } = context.store;
  const isHead = receivers.includes(rank) && headOf(rank, receivers, inferenceParallelSize) === rank;
  if (choose === undefined || !isHead) return undefined;
  const choosing = choose({ groupIndex: groupOf(rank, inferenceParallelSize), ...waiting });
  // The ranks may fail to meet before anyone waits for it.
  choosing.catch(() => {});
  return choosing;
}

/**
 * Sends all ranks the protocols that the first rank of each inference group has detected. Does nothing if the caller
 * has chosen the protocol.
 *
 * @param receivers Ascending.
 * @param choosing  From {@link startChoosing}.
 * @throws `CE_DTYPE_UNKNOWN` A chosen protocol cannot describe a tensor.
 */
export async function chooseWorkers(
  { context, options, protocol, waiting }: UpdateRun,
  epoch: Store,
  receivers: readonly number[],
  choosing: Promise<WorkerChoice> | undefined,
): Promise<ChosenWorkers> {
  const { chooseWorkers: choose, inferenceParallelSize, passes = 'one' } = options;
  if (choose === undefined) return { protocol, passes, pulls: protocol.pulls === true };
  const replies = await exchange(epoch, 'workers', async () => encode((await choosing) ?? null), waiting);
  const choices = replies.map((reply) => decode(reply) as WorkerChoice | null);
  const all = choices.filter((choice) => choice !== null);
  const protocols = new Map([...new Set(all.map(({ workers }) => workers))].map((name) => [name, protocolOf(name)]));
  for (const used of protocols.values()) for (const { tensors } of context.metas) used.check?.(tensors);
  const head = headOf(context.store.rank, receivers, inferenceParallelSize);
  const own = head === undefined ? undefined : choices[epoch.members.indexOf(head)];
  const loadsAgain = all.some((choice) => choice.passes === 'any');
  return {
    protocol: own ? protocols.get(own.workers)! : protocol,
    passes: loadsAgain ? 'any' : 'one',
    pulls: [...protocols.values()].every(({ pulls }) => pulls === true),
  };
}

function groupOf(rank: number, inferenceParallelSize: number | undefined): number {
  return inferenceParallelSize === undefined ? 0 : Math.floor(rank / inferenceParallelSize);
}

function headOf(
  rank: number,
  receivers: readonly number[],
  inferenceParallelSize: number | undefined,
): number | undefined {
  const group = groupOf(rank, inferenceParallelSize);
  return receivers.find((other) => groupOf(other, inferenceParallelSize) === group);
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
