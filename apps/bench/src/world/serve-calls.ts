import process from 'node:process';
import { toCheckpointEngineError } from '@checkpoint-engine/interface';
import type { Calls } from './driven-process.ts';

/** Answers the parent's calls until it sends `close` or ends: {id, call, args} -> {id, ok | error}. */
export function serveCalls<T extends Calls<T>>(calls: T, close: () => Promise<void>): void {
  const byName = { ...calls, close } as Readonly<Record<string, (args: never) => Promise<unknown>>>;
  process.on('message', async ({ id, call, args }: { id: number; call: string; args: never }) => {
    try {
      process.send!({ id, ok: (await byName[call]!(args)) ?? null });
    } catch (error) {
      process.send!({ id, error: toCheckpointEngineError(error).toJSON() });
    }
    if (call === 'close') setImmediate(() => process.disconnect());
  });
  process.on('disconnect', () => process.exit());
  process.send!('ready');
}
