import type { WorkerProtocol } from '../session.ts';
import { WorkerSessionV2 } from './worker-session.ts';

/**
 * The protocol of workers written in TypeScript (`@checkpoint-engine/worker`): a Unix socket in the abstract namespace,
 * several buckets in flight, and immediate detection of a peer's death. The worker must run on the same host, in the
 * same network namespace.
 */
export function v2Protocol(): WorkerProtocol {
  return { name: 'v2', pulls: true, createSession: (options) => WorkerSessionV2.listen(options) };
}
