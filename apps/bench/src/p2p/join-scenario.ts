import { listCudaDevices } from '@checkpoint-engine/device';
import { type BenchCheckpoint, benchCheckpoint, type CheckpointOptions } from '../checkpoints/bench-checkpoint.ts';
import { freePort } from '../report/free-port.ts';
import { describeMachine } from '../report/machine.ts';
import { type PublishOptions, publish } from '../report/publish.ts';
import { median } from '../report/statistics.ts';
import { DrivenProcess } from '../world/driven-process.ts';
import { ourReceiver, pythonReceiver } from '../world/receiver.ts';
import type { P2PRankCalls } from './p2p-rank.ts';

/** What `bench p2p join` is asked to do. */
export interface JoinScenarioOptions extends CheckpointOptions, PublishOptions {
  readonly device: 'cuda' | 'host';
  readonly receiver: 'python' | 'ours';
  /** Python with torch and checkpoint-engine. */
  readonly python: string;
  /** Python with Mooncake. */
  readonly mooncakePython?: string | undefined;
  readonly updates: number;
  readonly bucketBytes?: number | undefined;
}

/** One rank holds a checkpoint in host memory, another one reads it over Mooncake's TCP and brings it into an engine. */
export async function joinScenario(options: JoinScenarioOptions): Promise<void> {
  const checkpoint: BenchCheckpoint = await benchCheckpoint(options);
  const { files, folder, sizeBytes } = checkpoint;
  const p2p = { protocol: 'tcp', python: options.mooncakePython } as const;
  const port = await freePort();
  const receiver =
    options.receiver === 'python' ? await pythonReceiver(options.python, 0) : await ourReceiver(options.device, 0);
  const start = (task: object): Promise<DrivenProcess<P2PRankCalls>> =>
    DrivenProcess.start('../p2p/p2p-rank-main', { rank: 0, worldSize: 1, port, p2p, nics: [], ...task });
  // What owns needs no GPU: the bytes stay in host memory.
  const owner = await start({ device: 'host' });
  const joiner = await start({ device: options.device === 'cuda' ? 0 : 'host', engine: receiver.engine });
  try {
    await owner.call('register', files);
    await joiner.call('load', await owner.call('gather', null));
    const totalMs: number[] = [];
    const streamMs: number[] = [];
    let checked = 0;
    let wrong = 0;
    for (let round = 0; round < options.updates; round++) {
      if (round > 0) await receiver.spoil();
      const took = await joiner.call('update', options.bucketBytes ?? null);
      totalMs.push(took.totalMs);
      streamMs.push(took.streamMs);
      const compared = await receiver.verify(folder, files);
      checked += compared.checked;
      wrong += compared.wrong;
    }
    const [firstMs, ...laterMs] = totalMs as [number, ...number[]];
    publish(
      {
        scenario: 'p2p join',
        title: `${checkpoint.title} comes into ${options.receiver === 'python' ? 'the unmodified Python worker' : 'our worker'} by P2P reads over TCP: ${wrong} of ${checked} tensors wrong`,
        machine: describeMachine(options.device === 'cuda' ? await firstGpu() : undefined),
        options: { device: options.device, receiver: options.receiver, updates: options.updates },
        rows: [
          {
            by: 'checkpoint-engine',
            what: 'update p2p',
            model: checkpoint.title,
            ranks: 1,
            samplesMs: laterMs.length > 0 ? laterMs : [firstMs],
            warmupMs: [firstMs],
            sizeBytes,
            phasesMs: { stream: streamMs.at(-1)! },
            figures: { medianStreamMs: median(streamMs) },
            checked,
            wrong,
            note: 'the first update starts the transfer engine',
          },
        ],
        targets: [],
        notes: ['Both ends are on this host; the bytes go through its loopback.'],
      },
      options,
    );
  } finally {
    await joiner.end();
    await owner.end();
    await receiver.stop();
  }
}

async function firstGpu(): Promise<{ name: string; kind: 'cuda' } | undefined> {
  const cuda = await listCudaDevices();
  return cuda.available && cuda.devices[0] ? { name: cuda.devices[0].name, kind: 'cuda' } : undefined;
}
