import type { Logger } from '@checkpoint-engine/interface';
import type { VerifyMode } from './sampling.ts';

const noted = new WeakSet<object>();

/** Logs once for each checkpoint that a worker cannot report digests: a warning only if all bytes must be verified. */
export function noteSilentWorker(
  { metas, logger, rank }: { readonly metas: object; readonly logger: Logger; readonly rank: number },
  mode: VerifyMode,
): void {
  if (mode === 'off' || noted.has(metas)) return;
  noted.add(metas);
  logger[mode === 'full' ? 'warn' : 'info'](
    { rank },
    'This worker cannot report digests of what it holds: only the bytes that arrive are verified. Install the receiver of this release to verify its parameters',
  );
}
