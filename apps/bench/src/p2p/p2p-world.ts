import type { RankUpdate } from '../world/rank.ts';
import { ourReceiver, type Receiver } from '../world/receiver.ts';
import { stopReceivers, verify } from '../world/receivers.ts';
import { type RankPlace, World } from '../world/world.ts';

/** Ranks on the host device that read from other ranks or are read by them, each with one of our workers. */
export class P2PWorld {
  readonly world: World;
  readonly receivers: readonly Receiver[];

  private constructor(world: World, receivers: readonly Receiver[]) {
    this.world = world;
    this.receivers = receivers;
  }

  /** Starts the ranks, all of them on one host. @param firstDevice Index of the first rank's device. @default 0 */
  static async start(places: readonly RankPlace[], firstDevice = 0): Promise<P2PWorld> {
    const receivers = await Promise.all(
      places.map(({ runner }, rank) => ourReceiver('host', firstDevice + rank, runner)),
    );
    try {
      const withEngines = places.map((place, rank) => ({ ...place, engine: receivers[rank]!.engine }));
      return new P2PWorld(await World.start({ device: 'host' }, withEngines, firstDevice), receivers);
    } catch (error) {
      await stopReceivers(receivers);
      throw error;
    }
  }

  /** Compares the weights of all receivers with the files. */
  verify(folder: string, files: readonly string[]): Promise<{ checked: number; wrong: number }> {
    return verify(this.receivers, { folder, files });
  }

  /** Kills all processes. */
  async kill(): Promise<void> {
    await Promise.all([this.world.kill(), stopReceivers(this.receivers)]);
  }

  async end(): Promise<void> {
    await this.world.end();
    await stopReceivers(this.receivers);
  }
}

/** The time of an update that moves bytes, in milliseconds of the slowest rank. */
export function streamMsOf(updates: readonly RankUpdate[]): number {
  return Math.max(...updates.map(({ result }) => result.durationsMs.stream));
}
