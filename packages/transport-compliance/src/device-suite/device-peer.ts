import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import type { Device } from '@checkpoint-engine/interface';
import { Buffers } from '../buffers.ts';
import type { Pattern } from '../pattern.ts';

/** The operations of a peer on the memory that it opened: one buffer at a time. */
export interface DevicePeer {
  /** Opens memory by its handle. */
  open(handle: Uint8Array, sizeBytes: number): Promise<void>;
  /** Describes the first byte that differs from the pattern, or returns `null`. */
  check(pattern: Pattern): Promise<string | null>;
  fill(pattern: Pattern): Promise<void>;
  /** Closes the memory and the device. */
  close(): Promise<void>;
}

/** A call of a {@link DevicePeer} in another process. */
export type PeerCall =
  | { readonly name: 'open'; readonly handle: readonly number[]; readonly sizeBytes: number }
  | { readonly name: 'check' | 'fill'; readonly pattern: Pattern }
  | { readonly name: 'close' };

/** Result of a {@link PeerCall}. */
export type PeerReply = { readonly value: string | null } | { readonly error: string };

const BUFFER = 'opened';

/** A peer that is a second device of this process. */
export function localPeer(device: Device): DevicePeer {
  const buffers = new Buffers(device);
  let size = 0;
  const whole = (pattern: Pattern) => ({ buffer: BUFFER, contents: [{ offsetBytes: 0, sizeBytes: size, pattern }] });
  return {
    async open(handle, sizeBytes) {
      size = sizeBytes;
      await buffers.open({ buffer: BUFFER, handle, sizeBytes });
    },
    check: (pattern) => buffers.check(whole(pattern)),
    fill: (pattern) => buffers.fill(whole(pattern)),
    async close() {
      await buffers.free();
      await device.close();
    },
  };
}

/** A peer in a separate process, which imports its device from a module. */
export function processPeer(module: URL): DevicePeer {
  const main = fileURLToPath(new URL('./device-peer-main.js', import.meta.url));
  const child = fork(main, [module.href], { env: process.env });
  const call = (message: PeerCall): Promise<string | null> => callPeer(child, message);
  return {
    open: async (handle, sizeBytes) => void (await call({ name: 'open', handle: [...handle], sizeBytes })),
    check: (pattern) => call({ name: 'check', pattern }),
    fill: async (pattern) => void (await call({ name: 'fill', pattern })),
    async close() {
      const exited = once(child, 'exit');
      await call({ name: 'close' }).finally(() => child.disconnect());
      await exited;
    },
  };
}

async function callPeer(child: ChildProcess, message: PeerCall): Promise<string | null> {
  const abort = new AbortController();
  const { signal } = abort;
  const replied = once(child, 'message', { signal }).then(([reply]) => reply as PeerReply);
  const exited = once(child, 'exit', { signal }).then(([code]): PeerReply => ({ error: `It exited with ${code}` }));
  for (const promise of [replied, exited]) promise.catch(() => {});
  child.send(message);
  try {
    const reply = await Promise.race([replied, exited]);
    if ('error' in reply) throw new Error(`The peer failed to ${message.name}: ${reply.error}`);
    return reply.value;
  } finally {
    abort.abort();
  }
}
