import { countGpus } from './count-gpus.ts';
import type { WorkerClock } from './engine-process.ts';
import { ourReceiver, pythonReceiver, type Receiver } from './receiver.ts';

/** The measured world. */
export interface WorldOptions {
  readonly device: 'cuda' | 'host';
  readonly receiver: 'python' | 'ours';
  readonly python: string;
  /** Number of ranks. More ranks than GPUs share the GPUs, which tests correctness, not speed. */
  readonly ranks: number;
}

/** Starts one receiver per rank. */
export async function startReceivers(options: WorldOptions): Promise<Receiver[]> {
  const gpus = options.device === 'cuda' ? await countGpus() : options.ranks;
  const started = Array.from({ length: options.ranks }, (_, rank) =>
    options.receiver === 'python' && options.device === 'cuda'
      ? pythonReceiver(options.python, rank % gpus)
      : ourReceiver(options.device, rank % gpus),
  );
  const all = await Promise.allSettled(started);
  const failed = all.find((one) => one.status === 'rejected');
  const receivers = all.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  if (failed === undefined) return receivers;
  await stopReceivers(receivers);
  throw failed.reason;
}

export async function stopReceivers(receivers: readonly Receiver[]): Promise<void> {
  await Promise.all(receivers.map((receiver) => receiver.stop()));
}

/** Corrupts every byte of the receivers. */
export async function corrupt(receivers: readonly Receiver[]): Promise<void> {
  await Promise.all(receivers.map((receiver) => receiver.corrupt()));
}

/** Tensors compared and tensors wrong, in all receivers together. */
export async function verify(
  receivers: readonly Receiver[],
  { folder, files }: { readonly folder: string; readonly files: readonly string[] },
): Promise<{ checked: number; wrong: number }> {
  const all = await Promise.all(receivers.map((receiver) => receiver.verify(folder, files)));
  return {
    checked: all.reduce((sum, { checked }) => sum + checked, 0),
    wrong: all.reduce((sum, { wrong }) => sum + wrong, 0),
  };
}

/** Times of the first Python worker in the last update. */
export async function workerClock(receivers: readonly Receiver[]): Promise<WorkerClock | undefined> {
  const clock = (await receivers[0]!.stats())?.worker;
  return clock !== undefined && 'buckets' in clock ? (clock as WorkerClock) : undefined;
}
