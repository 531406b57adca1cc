import { listCudaDevices } from '@checkpoint-engine/device';
import { type BenchCheckpoint, benchCheckpoint, type CheckpointOptions } from '../checkpoints/bench-checkpoint.ts';
import { describeMachine } from '../report/machine.ts';
import { type PublishOptions, publish } from '../report/publish.ts';
import { median } from '../report/statistics.ts';
import { corrupt, startReceivers, stopReceivers, verify, type WorldOptions } from '../world/receivers.ts';
import { World } from '../world/world.ts';
import { streamMsOf } from './p2p-world.ts';

/** The options of `bench p2p join`. */
export interface JoinScenarioOptions extends CheckpointOptions, WorldOptions, PublishOptions {
  /** Python with Mooncake. */
  readonly mooncakePython?: string | undefined;
  readonly updates: number;
  readonly bucketBytes?: number | undefined;
}

const NAME = 'weights';

/** One rank holds a checkpoint in host memory, others read it over Mooncake's TCP and load it into their engines. */
export async function joinScenario(options: JoinScenarioOptions): Promise<void> {
  const checkpoint: BenchCheckpoint = await benchCheckpoint(options);
  const { sizeBytes } = checkpoint;
  const { ranks, bucketBytes } = options;
  const p2p = { protocol: 'tcp', python: options.mooncakePython } as const;
  const receivers = await startReceivers(options);
  const worlds: World[] = [];
  try {
    // The owner needs no GPU: the bytes stay in host memory.
    const owner = await World.start({ device: 'host' }, [{ p2p, nics: [] }]);
    worlds.push(owner);
    const joiners = await World.start(
      options,
      receivers.map(({ engine }) => ({ p2p, nics: [], engine })),
    );
    worlds.push(joiners);
    await owner.register(NAME, checkpoint.files);
    await joiners.load((await owner.gather(NAME)).metas);
    const totalMs: number[] = [];
    const streamMs: number[] = [];
    let checked = 0;
    let wrong = 0;
    for (let round = 0; round < options.updates; round++) {
      if (round > 0) await corrupt(receivers);
      const updates = await joiners.update(NAME, { bucketBytes });
      totalMs.push(Math.max(...updates.map(({ result }) => result.durationsMs.total)));
      streamMs.push(streamMsOf(updates));
      const compared = await verify(receivers, checkpoint);
      checked += compared.checked;
      wrong += compared.wrong;
    }
    const [firstMs, ...laterMs] = totalMs as [number, ...number[]];
    const isPython = 'vllmUrl' in receivers[0]!.engine;
    const workers = `${isPython ? 'the unmodified Python worker' : 'our worker'}${ranks > 1 ? `s of ${ranks} ranks` : ''}`;
    publish(
      {
        scenario: 'p2p join',
        title: `${checkpoint.title} reaches ${workers} by P2P reads over TCP: ${wrong} of ${checked} tensors wrong`,
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
          'All processes are on this host, and the bytes pass through its loopback interface.',
          ...(ranks > 1 ? ['Each rank that joins reads a part and broadcasts it to the others.'] : []),
        ],
      },
      options,
    );
  } finally {
    await Promise.all(worlds.map((world) => world.end()));
    await stopReceivers(receivers);
  }
}

async function firstGpu(): Promise<{ name: string; kind: 'cuda' } | undefined> {
  const cuda = await listCudaDevices();
  return cuda.available && cuda.devices[0] ? { name: cuda.devices[0].name, kind: 'cuda' } : undefined;
}
