import { freePort } from '@checkpoint-engine/cli';
import type { RdmaOptions } from '@checkpoint-engine/transport-rdma';
import { DrivenProcess } from '../world/driven-process.ts';
import { ourReceiver, type Receiver } from '../world/receiver.ts';
import type { P2PRankCalls } from './p2p-rank.ts';

/** One rank of a world that serves or joins. */
export interface P2PRankPlace {
  readonly p2p: RdmaOptions;
  readonly nics: readonly string[];
  /** The command that runs its processes on a simulated host. */
  readonly runner: readonly string[];
}

/** A world whose ranks read from others, or are read from, each with a receiver of ours. */
export class P2PWorld {
  readonly ranks: readonly DrivenProcess<P2PRankCalls>[];
  readonly receivers: readonly Receiver[];

  private constructor(ranks: readonly DrivenProcess<P2PRankCalls>[], receivers: readonly Receiver[]) {
    this.ranks = ranks;
    this.receivers = receivers;
  }

  /** Starts the ranks on the host device; all of one world are on one host, or have a world of their own. */
  static async start(places: readonly P2PRankPlace[], firstDevice = 0): Promise<P2PWorld> {
    const port = await freePort();
    const receivers = await Promise.all(
      places.map(({ runner }, rank) => ourReceiver('host', firstDevice + rank, runner)),
    );
    const ranks = await Promise.all(
      places.map(({ runner, ...place }, rank) => {
        const { engine } = receivers[rank]!;
        const task = {
          ...place,
          rank,
          worldSize: places.length,
          port,
          device: 'host',
          hostIndex: firstDevice + rank,
          engine,
        } as const;
        return DrivenProcess.start<P2PRankCalls>('../p2p/p2p-rank-main', task, {}, runner);
      }),
    );
    return new P2PWorld(ranks, receivers);
  }

  all<T>(work: (rank: DrivenProcess<P2PRankCalls>) => Promise<T>): Promise<T[]> {
    return Promise.all(this.ranks.map(work));
  }

  /** Compares what all receivers hold with the files. */
  async verify(folder: string, files: readonly string[]): Promise<{ checked: number; wrong: number }> {
    const all = await Promise.all(this.receivers.map((receiver) => receiver.verify(folder, files)));
    return {
      checked: all.reduce((sum, { checked }) => sum + checked, 0),
      wrong: all.reduce((sum, { wrong }) => sum + wrong, 0),
    };
  }

  /** Ends all processes as a power cut would. */
  async kill(): Promise<void> {
    for (const rank of this.ranks) rank.kill();
    await Promise.all(this.receivers.map((receiver) => receiver.stop()));
    await this.all((rank) => rank.exited);
  }

  async end(): Promise<void> {
    await this.all((rank) => rank.end());
    await Promise.all(this.receivers.map((receiver) => receiver.stop()));
  }
}
