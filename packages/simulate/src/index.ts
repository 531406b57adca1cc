/**
 * Simulates weight updates on clusters that you do not have: how long an update takes, what it waits for, and what each
 * link carries. The functions are pure.
 *
 * @packageDocumentation
 */

export { type CalibrateInput, type Calibration, calibrate, type FittedField } from './calibrate/calibrate.ts';
export { checkTopology } from './cluster/check-topology.ts';
export { isPresetName, PRESET_NAMES, type PresetName, presetTopology } from './cluster/presets.ts';
export type * from './cluster/topology.ts';
export { topologySchema } from './cluster/topology-schema.ts';
export type { CriticalStep } from './engine/critical-path.ts';
export type { LinkKind } from './engine/link.ts';
export type { StageName } from './engine/task.ts';
export type { BucketFigures, MemoryUse, PlanFigures } from './methods/planned.ts';
export { PUBLISHED_MODELS, publishedModel } from './published-model.ts';
export type * from './result.ts';
export { METHOD_NAMES, type MethodName, type Scenario, SOURCE_NAMES, type SourceName } from './scenario.ts';
export { type PreparedSimulation, prepare, simulate } from './simulate.ts';
export { SWEEP_NAMES, type SweepName, type SweepPoint, sweep } from './sweep.ts';
export { type WhatIf, whatIf } from './what-if.ts';
