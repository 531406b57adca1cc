import type { ChildProcess } from 'node:child_process';
import { type MemberReply, type MemberRequest, readyId } from './member-protocol.ts';
import { fromWire } from './wire-error.ts';

interface PendingCall {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** The pending calls of the test's process to one member's process. */
export class MemberCalls {
  /** Resolves when the member is ready for calls. */
  readonly ready: Promise<unknown>;
  readonly #child: ChildProcess;
  readonly #rank: number;
  readonly #pending = new Map<number, PendingCall>();
  #nextId = 0;

  constructor(rank: number, child: ChildProcess) {
    this.#rank = rank;
    this.#child = child;
    this.ready = this.#wait(readyId);
    child.on('message', (message) => this.#settle(message as MemberReply));
    child.once('exit', (code, signal) => {
      const lost = new Error(`The process of rank ${rank} ended: ${signal ?? `exit status ${code}`}`);
      for (const { reject } of this.#pending.values()) reject(lost);
      this.#pending.clear();
    });
  }

  /** Runs one operation. Operations start in the order of the calls. */
  call(name: string, args: unknown): Promise<unknown> {
    if (!this.#child.connected) return Promise.reject(new Error(`The process of rank ${this.#rank} is lost`));
    const request: MemberRequest = { id: this.#nextId++, name, args };
    const result = this.#wait(request.id);
    this.#child.send(request);
    return result;
  }

  #wait(id: number): Promise<unknown> {
    return new Promise((resolve, reject) => this.#pending.set(id, { resolve, reject }));
  }

  #settle(reply: MemberReply): void {
    const pending = this.#pending.get(reply.id);
    this.#pending.delete(reply.id);
    if (pending === undefined) return;
    if ('error' in reply) pending.reject(fromWire(reply.error));
    else pending.resolve(reply.value);
  }
}
