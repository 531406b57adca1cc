/**
 * Clients of inference engines that receive weights.
 *
 * @packageDocumentation
 */
export type { EngineAdapter, EngineQuery, EngineStep } from './adapter.ts';
export { createEngineClient, ENGINE_NAMES, type EngineName, type NamedEngineOptions } from './create-engine-client.ts';
export type {
  DescribeOptions,
  EngineClient,
  EngineEndpoint,
  EngineOptions,
  EngineUpdate,
  EngineWait,
  ReportInbox,
  WorkerChoice,
} from './engine-client.ts';
export { type EngineDescription, heldVersion, type WorkerDescription } from './engine-description.ts';
export type { EngineReport } from './engine-report.ts';
export { httpEngine } from './http-engine.ts';
export { type LmdeployOptions, lmdeployEngine } from './lmdeploy.ts';
export { type SglangOptions, sglangEngine } from './sglang.ts';
export { type VllmOptions, vllmEngine } from './vllm.ts';
export { workerEngine } from './worker.ts';
