/**
 * The parameter server: it keeps checkpoints in host memory and loads them into running inference engines.
 *
 * @packageDocumentation
 */

export * from '@checkpoint-engine/engines';
export {
  type ConnectStoreOptions,
  connectStore,
  type LocalStoreOptions,
  localStore,
  type OpenStoreOptions,
  openStore,
  type StoreLocation,
  type StoreServer,
  type StoreServerOptions,
  startStoreServer,
} from '@checkpoint-engine/store';
export type * from './api.ts';
export { gatherMetas } from './metas/gather-metas.ts';
export type { GatheredMetas } from './metas/gathered-metas.ts';
export type * from './progress-event.ts';
export type * from './registration.ts';
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
export { type V1Options, v1Protocol } from './v1/index.ts';
export { v2Protocol } from './v2/protocol.ts';
export { type OpenReportInbox, openReportInbox, type ReportInboxOptions } from './v2/report-inbox.ts';
export type { VerifyMode } from './verify/sampling.ts';
export type { VerifySummary } from './verify/verifier.ts';
export type { DifferingRange, VerifyReport } from './verify/verify-report.ts';
