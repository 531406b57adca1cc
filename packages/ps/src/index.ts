/**
 * The parameter server: it holds checkpoints in host memory and brings them into running inference engines.
 *
 * @packageDocumentation
 */
export type * from './server/api.ts';
export { ParameterServer } from './server/parameter-server.ts';
export type {
  BucketMessage,
  BucketTensor,
  FinishOptions,
  FinishPhase,
  SessionCallOptions,
  SessionOptions,
  WorkerProtocol,
  WorkerSession,
} from './session.ts';
export { sizeUpdate, type UpdateBounds } from './update/size-update.ts';
export { v1Protocol, type V1Options } from './v1/index.ts';
export { workerProtocolV2 as v2Protocol } from './v2/protocol.ts';
