import type { ClusterTopology, Costs, GpuSpec, HostSpec } from './topology.ts';

/** Names of the presets on a command line. */
export type PresetName = 'h800' | 'h20' | 'h100' | 'h200' | 'b200';

/**
 * Times of our parameter server and of vLLM workers, measured on hosts with H100 and H200 GPUs, and times of the Python
 * tool 0.4.2 on the same hosts. Those with `Rank` or `hop` in their names are estimates: measurements reach 4 GPUs.
 */
const COSTS: Costs = {
  meetMs: 12,
  meetRankMs: 0.05,
  handshakeMs: 20,
  firstMs: 20,
  releaseMs: 3,
  hookMs: 25,
  bucketMs: 1,
  bucketExpertsMs: 2.5,
  tensorMs: 0.06,
  sliceMs: 0.04,
  broadcastMs: 0.1,
  hopMs: 0.12,
  readMs: 0.5,
  chunkMs: 0.1,
  pythonGroupMs: 300,
  pythonBarrierMs: 1,
  pythonBarrierHopMs: 0.6,
  pythonFixedMs: 500,
};

/** NICs of 400 Gbit/s reach about 70 % of their line rate in one-sided reads. */
const HOST: HostSpec = {
  memoryGBps: 400,
  gpusPerSwitch: 1,
  switchGBps: 0,
  nics: 8,
  nicGBps: 35,
  fileGBps: 10,
};

const GPUS: Readonly<Record<PresetName, GpuSpec>> = {
  h800: { name: 'H800', memoryGB: 80, freeGB: 16, pcieGBps: 50, copyGBps: 1300, nvlinkGBps: 160 },
  h20: { name: 'H20', memoryGB: 96, freeGB: 30, pcieGBps: 50, copyGBps: 1600, nvlinkGBps: 340 },
  h100: { name: 'H100', memoryGB: 80, freeGB: 16, pcieGBps: 53, copyGBps: 1300, nvlinkGBps: 340 },
  h200: { name: 'H200', memoryGB: 141, freeGB: 30, pcieGBps: 53, copyGBps: 1800, nvlinkGBps: 340 },
  b200: { name: 'B200', memoryGB: 180, freeGB: 40, pcieGBps: 53, copyGBps: 3000, nvlinkGBps: 700 },
};

/** All names of presets. */
export const PRESET_NAMES: readonly PresetName[] = Object.keys(GPUS) as PresetName[];

/** Whether a text is the name of a preset. */
export const isPresetName = (name: string): name is PresetName => Object.hasOwn(GPUS, name);

/**
 * A host with 8 GPUs and 8 NICs of 400 Gbit/s. Rates are the rates that copies, broadcasts and reads reach, not line
 * rates.
 */
export function presetTopology(name: PresetName): ClusterTopology {
  const gpu = GPUS[name];
  return {
    name: `8 x ${gpu.name} per host`,
    device: 'cuda',
    hosts: 1,
    gpusPerHost: 8,
    gpu,
    host: HOST,
    network: { spineGBps: 0, sharedFileGBps: 40 },
    costs: COSTS,
  };
}
