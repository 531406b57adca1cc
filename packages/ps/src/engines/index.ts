export { createEngineClient, ENGINE_NAMES, type EngineName } from './create-engine-client.ts';
export type { EngineClient, EngineEndpoint, EngineOptions, EngineUpdate, EngineWait } from './engine-client.ts';
export { type LmdeployOptions, lmdeployEngine } from './lmdeploy.ts';
export { type SglangOptions, sglangEngine } from './sglang.ts';
export { vllmEngine } from './vllm.ts';
export { workerEngine } from './worker.ts';
