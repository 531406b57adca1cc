// One rank dies during a broadcast and is restarted. Takes 1 minute per kind of device. KILL_RANKS sets the
// number of ranks (3). On GPUs, BENCH_PYTHON is a Python with torch and checkpoint-engine (python3), and KILL_SCALE the
// bytes of the checkpoint (3 GiB).
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { type BenchCheckpoint, benchCheckpoint } from '@checkpoint-engine/bench/checkpoints/bench-checkpoint';
import { countGpus } from '@checkpoint-engine/bench/world/count-gpus';
import { ourReceiver, pythonReceiver, type Receiver } from '@checkpoint-engine/bench/world/receiver';
import { startReceivers, stopReceivers, verify } from '@checkpoint-engine/bench/world/receivers';
import { World } from '@checkpoint-engine/bench/world/world';
import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { parseSize } from '@checkpoint-engine/planner';
import { describe, expect, it } from 'vitest';
import { benchData } from './support/bench-data.ts';
import { noGpu } from './support/gpu.ts';
import { MemoryLog, type MemoryLook } from './support/memory-log.ts';

const RANKS = Number(process.env.KILL_RANKS ?? 3);
const PYTHON = process.env.BENCH_PYTHON ?? 'python3';
const GPU_SCALE = parseSize(process.env.KILL_SCALE ?? '3GiB');
const HOST_SCALE = 256 * 2 ** 20;
const BUCKET_BYTES = 16 * 2 ** 20;
const NAME = 'weights';
/** Time within which the other ranks detect which rank died. */
const LOSS_MS = 10_000;
/** Memory that a driver may keep between two measurements of the same state. */
const SLACK_BYTES = 64 * 2 ** 20;
/** Time between two measurements while memory is freed, and the limit for that. */
const SETTLE_MS = 250;
const MAX_SETTLE_MS = 5_000;

const missing = await noGpu();
const dataDir = benchData();
const VICTIM = RANKS - 1;

describe.each(['host', 'cuda'] as const)('a rank that is killed in a broadcast, on %s', (device) => {
  it.skipIf(device === 'cuda' && missing !== undefined)(
    'is reported by all others, frees its memory, and joins again',
    { timeout: 900_000 },
    async () => {
      const scale = device === 'cuda' ? GPU_SCALE : HOST_SCALE;
      const checkpoint = await benchCheckpoint({ model: 'qwen3-8b', scale, dataDir });
      const world = await KillWorld.start(device, checkpoint);
      try {
        await world.update(true);
        const before = await world.settled('an update that released its communicators');
        await world.update(false);
        await world.settled('one that kept them');

        for (const { rank, ms, error } of await world.kill(VICTIM)) {
          expect(CheckpointEngineError.isInstance(error), `rank ${rank}: ${error}`).toBe(true);
          expect(error, `rank ${rank}`).toMatchObject({ code: 'CE_RANK_LOST', peer: VICTIM });
          expect(ms, `rank ${rank}`).toBeLessThan(LOSS_MS);
        }

        await world.restart(VICTIM);
        await world.settled('the restart');
        await world.update(true);
        const after = await world.settled('an update of the restarted world, released', before);
        if (device === 'cuda') {
          const keptBytes = Math.max(...after.usedBytes.map((used, index) => used - before.usedBytes[index]!));
          expect(keptBytes, `device memory\n${world.memory}`).toBeLessThan(SLACK_BYTES);
        }
        await world.update(false);
        expect(await verify(world.receivers, checkpoint)).toMatchObject({ wrong: 0 });
        expect(await world.end(), 'all ranks end by themselves').toBe(true);
      } finally {
        await world.end();
      }
    },
  );
});

/** Ranks, their receivers, and a checkpoint. */
class KillWorld {
  readonly receivers: Receiver[];
  readonly memory = new MemoryLog();
  readonly #device: 'cuda' | 'host';
  readonly #checkpoint: BenchCheckpoint;
  readonly #world: World;

  private constructor(device: 'cuda' | 'host', checkpoint: BenchCheckpoint, world: World, receivers: Receiver[]) {
    this.#device = device;
    this.#checkpoint = checkpoint;
    this.#world = world;
    this.receivers = receivers;
  }

  static async start(device: 'cuda' | 'host', checkpoint: BenchCheckpoint): Promise<KillWorld> {
    const receiver = device === 'cuda' ? 'python' : 'ours';
    const receivers = await startReceivers({ device, receiver, python: PYTHON, ranks: RANKS });
    try {
      const places = receivers.map(({ engine }) => ({ engine }));
      const world = await World.start({ device }, places);
      await world.register(NAME, checkpoint.files);
      await world.gather(NAME);
      return new KillWorld(device, checkpoint, world, receivers);
    } catch (error) {
      await stopReceivers(receivers);
      throw error;
    }
  }

  async update(releaseCommunicators: boolean): Promise<void> {
    await this.#world.update(NAME, { bucketBytes: BUCKET_BYTES, releaseCommunicators });
  }

  /** Runs an update in which `victim` dies. Resolves with how the other ranks ended. */
  async kill(victim: number): Promise<{ rank: number; ms: number; error: unknown }[]> {
    let diedAtMs = Number.NaN;
    const died = this.#world.ranks[victim]!.exited.then(() => {
      diedAtMs = performance.now();
    });
    const variant = { bucketBytes: BUCKET_BYTES };
    const updates = this.#world.ranks.map((rank, index) =>
      rank
        .call('update', { checkpoint: NAME, variant, ...(index === victim && { dieAtBroadcast: 3 }) })
        .then(
          () => undefined,
          (error: unknown) => error,
        )
        .then((error) => ({ rank: index, error, atMs: performance.now() })),
    );
    await died;
    const ends = await Promise.all(updates);
    await this.memory.look('the kill, survivors', this.#world, this.receivers, victim);
    return ends
      .filter(({ rank }) => rank !== victim)
      .map(({ rank, error, atMs }) => ({ rank, error, ms: atMs - diedAtMs }));
  }

  /** Starts the dead rank again with a new receiver: a Python worker waits for the old rank without a bound. */
  async restart(rank: number): Promise<void> {
    await this.receivers[rank]!.stop();
    this.receivers[rank] =
      this.#device === 'cuda'
        ? await pythonReceiver(PYTHON, rank % (await countGpus()))
        : await ourReceiver('host', rank);
    await this.#world.restart(rank, { engine: this.receivers[rank]!.engine });
    await this.#world.ranks[rank]!.call('register', { checkpoint: NAME, files: this.#checkpoint.files, isAlone: true });
    await this.#world.gather(NAME);
  }

  /**
   * Measures device memory when it no longer changes, because it is freed on other threads.
   *
   * @param wanted Waits until no more than this is used, up to a limit.
   */
  async settled(step: string, wanted?: MemoryLook): Promise<MemoryLook> {
    const startedAtMs = performance.now();
    let last: readonly number[] = [];
    for (;;) {
      await sleep(SETTLE_MS);
      const used = (await this.#world.usage()).map(({ deviceUsedBytes }) => deviceUsedBytes);
      const isStill = used.every((bytes, rank) => Math.abs(bytes - (last[rank] ?? 0)) < 2 ** 20);
      const isAsWanted = used.every((bytes, rank) => bytes - (wanted?.usedBytes[rank] ?? Infinity) < SLACK_BYTES);
      last = used;
      const ms = performance.now() - startedAtMs;
      if ((isStill && isAsWanted) || ms > MAX_SETTLE_MS) {
        return await this.memory.look(`${step} (${ms.toFixed(0)} ms later)`, this.#world, this.receivers);
      }
    }
  }

  /** Resolves with whether all ranks ended by themselves. Idempotent. */
  async end(): Promise<boolean> {
    const endedWell = await this.#world.end();
    await stopReceivers(this.receivers);
    return endedWell;
  }
}
