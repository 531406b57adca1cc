import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { RemoteMemory } from '@checkpoint-engine/interface';
import type { RdmaOptions } from '@checkpoint-engine/transport-rdma';

const main = fileURLToPath(new URL('./peer.mjs', import.meta.url));
const peers = new Set<Peer>();

/** A process with its own endpoint. */
export class Peer {
  readonly #child: ChildProcess;
  readonly #calls = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>();
  #log = '';
  #next = 0;

  private constructor(options: RdmaOptions, prefix: readonly string[]) {
    const [file, ...args] = [...prefix, process.execPath, main, JSON.stringify(options)];
    this.#child = spawn(file!, args, { stdio: ['ignore', 'inherit', 'pipe', 'ipc'] });
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#log += text;
    });
    this.#child.on('message', ({ id, value, error }: { id: number; value?: unknown; error?: object }) => {
      const call = this.#calls.get(id);
      if (error === undefined) call?.resolve(value as never);
      else call?.reject(Object.assign(new Error(), error));
    });
    this.#child.once('exit', () => {
      for (const { reject } of this.#calls.values()) reject(new Error(`The peer's process ended: ${this.#log}`));
    });
    peers.add(this);
  }

  /** @param prefix Command that runs the process: `['ip', 'netns', 'exec', name]`. */
  static async start(options: RdmaOptions, prefix: readonly string[] = []): Promise<Peer> {
    const peer = new Peer(options, prefix);
    await peer.#wait<void>();
    return peer;
  }

  get pid(): number {
    return this.#child.pid!;
  }

  address(): Promise<string> {
    return this.#call('address', {});
  }

  /** Registers memory that holds `pattern(sizeBytes, seed)`. */
  share(name: string, sizeBytes: number, seed: number): Promise<RemoteMemory> {
    return this.#call('share', { name, sizeBytes, seed });
  }

  /** Withdraws it. Returns the milliseconds that it took. */
  unregister(name: string): Promise<number> {
    return this.#call('unregister', { name });
  }

  /** Reads a range and returns the SHA-256 of the received bytes. */
  read(peer: string, remote: RemoteMemory, timeoutMs?: number): Promise<string> {
    return this.#call('read', { peer, remote, timeoutMs });
  }

  /** Closes everything, and waits for the process to end by itself. */
  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exit = once(this.#child, 'exit');
    this.#call('close', {}).catch(() => {});
    const [code] = await exit;
    if (code !== 0) throw new Error(`The peer's process ended with ${code}: ${this.#log}`);
  }

  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exit = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exit;
  }

  #call<T>(name: string, args: object): Promise<T> {
    const answer = this.#wait<T>(++this.#next);
    this.#child.send({ id: this.#next, name, args });
    return answer;
  }

  #wait<T>(id = 0): Promise<T> {
    return new Promise<T>((resolve, reject) => this.#calls.set(id, { resolve, reject }));
  }
}

/** Ends the processes that a test has left behind. */
export async function killPeers(): Promise<void> {
  for (const peer of peers) await peer.kill();
  peers.clear();
}
