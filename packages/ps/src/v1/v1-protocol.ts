import type { WorkerProtocol } from '../session.ts';
import { checkV1Dtypes } from './check-v1-dtypes.ts';
import { type V1Options, V1Session } from './v1-session.ts';

/**
 * The protocol of the Python tool's workers, which vLLM, SGLang and LMDeploy run: pickles over ZeroMQ, one message in
 * flight, CUDA memory only, and only dtypes that torch has.
 *
 * @source PyPI package checkpoint-engine 0.4.2, `worker.py`
 */
export function v1Protocol(options: V1Options = {}): WorkerProtocol {
  return { name: 'v1', check: checkV1Dtypes, createSession: (session) => V1Session.bind(session, options) };
}
