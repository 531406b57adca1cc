import { freePort } from '@checkpoint-engine/cli';
import { listCudaDevices } from '@checkpoint-engine/device';
import { type BenchCheckpoint, benchCheckpoint, type CheckpointOptions } from '../checkpoints/bench-checkpoint.ts';
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
  /** Ranks that join, a device each. */
  readonly ranks: number;
  readonly updates: number;
  readonly bucketBytes?: number | undefined;
}

/** One rank holds a checkpoint in host memory, others read it over Mooncake's TCP and bring it into their engines. */
export async function joinScenario(options: JoinScenarioOptions): Promise<void> {
  const checkpoint: BenchCheckpoint = await benchCheckpoint(options);
  const { files, folder, sizeBytes } = checkpoint;
  const { ranks } = options;
  const p2p = { protocol: 'tcp', python: options.mooncakePython } as const;
  const isPython = options.receiver === 'python';
  const receivers = await Promise.all(
    Array.from({ length: ranks }, (_, index) =>
      isPython ? pythonReceiver(options.python, index) : ourReceiver(options.device, index),
    ),
  );
  const start = (task: object): Promise<DrivenProcess<P2PRankCalls>> =>
    DrivenProcess.start('../p2p/p2p-rank-main', { p2p, nics: [], ...task });
  // What owns needs no GPU: the bytes stay in host memory.
  const owner = await start({ rank: 0, worldSize: 1, port: await freePort(), device: 'host' });
  const port = await freePort();
  const joiners = await Promise.all(
    receivers.map(({ engine }, rank) =>
      start({ rank, worldSize: ranks, port, device: options.device === 'cuda' ? rank : 'host', engine }),
    ),
  );
  try {
    await owner.call('register', files);
    const metas = await owner.call('gather', null);
    await Promise.all(joiners.map((joiner) => joiner.call('load', metas)));
    const totalMs: number[] = [];
    const streamMs: number[] = [];
    let checked = 0;
    let wrong = 0;
    for (let round = 0; round < options.updates; round++) {
      if (round > 0) await Promise.all(receivers.map((receiver) => receiver.spoil()));
      const took = await Promise.all(joiners.map((joiner) => joiner.call('update', options.bucketBytes ?? null)));
      totalMs.push(Math.max(...took.map((each) => each.totalMs)));
      streamMs.push(Math.max(...took.map((each) => each.streamMs)));
      for (const receiver of receivers) {
        const compared = await receiver.verify(folder, files);
        checked += compared.checked;
        wrong += compared.wrong;
      }
    }
    const [firstMs, ...laterMs] = totalMs as [number, ...number[]];
    const workers = `${isPython ? 'the unmodified Python worker' : 'our worker'}${ranks > 1 ? `s of ${ranks} ranks` : ''}`;
    publish(
      {
        scenario: 'p2p join',
        title: `${checkpoint.title} comes into ${workers} by P2P reads over TCP: ${wrong} of ${checked} tensors wrong`,
        machine: describeMachine(options.device === 'cuda' ? await firstGpu() : undefined),
        options: { device: options.device, receiver: options.receiver, ranks, updates: options.updates },
        rows: [
          {
            by: 'checkpoint-engine',
            what: 'update p2p',
            model: checkpoint.title,
            ranks,
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
        notes: [
          'All ends are on this host; the bytes go through its loopback.',
          ...(ranks > 1 ? ['Ranks that join read a part each and broadcast it to the others.'] : []),
        ],
      },
      options,
    );
  } finally {
    await Promise.all(joiners.map((joiner) => joiner.end()));
    await owner.end();
    await Promise.all(receivers.map((receiver) => receiver.stop()));
  }
}

async function firstGpu(): Promise<{ name: string; kind: 'cuda' } | undefined> {
  const cuda = await listCudaDevices();
  return cuda.available && cuda.devices[0] ? { name: cuda.devices[0].name, kind: 'cuda' } : undefined;
}
