import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { checkLayout } from '@checkpoint-engine/planner';
import { METHOD_NAMES, type MethodName, type Scenario, SOURCE_NAMES } from './scenario.ts';

/** Maximum number of ranks of a simulation: with more, planning takes minutes. */
const MAX_RANKS = 16_384;

/** The ranks that take part. */
export interface Ranks {
  /** Ranks that receive. */
  readonly receivers: number;
  /** The first rank that receives. */
  readonly firstReceiver: number;
}

export const isPython = (method: MethodName): boolean => method.startsWith('python-');

/** Checks a scenario as a whole. @throws {CheckpointEngineError} `CE_CONFIG_INVALID` */
export function checkScenario(scenario: Scenario): Ranks {
  const { topology, model, method, worldSize, layout, source = 'memory', joining = 0, bucketBytes } = scenario;
  if (!METHOD_NAMES.includes(method))
    throw invalid(`The method is "${method}", expected one of ${METHOD_NAMES.join(', ')}`);
  if (!SOURCE_NAMES.includes(source))
    throw invalid(`The source is "${source}", expected one of ${SOURCE_NAMES.join(', ')}`);
  if (model.tensors.length === 0) throw invalid(`The model ${model.title} has no tensors`);
  checkCount('worldSize', worldSize);
  if (joining !== 0) checkCount('joining', joining);
  if (scenario.receivers !== undefined) checkCount('receivers', scenario.receivers);
  if (bucketBytes !== undefined && !(bucketBytes > 0)) throw invalid(`bucketBytes is ${bucketBytes}, expected above 0`);
  const { hosts, gpusPerHost, host } = topology;
  const all = worldSize + joining;
  if (all > MAX_RANKS) throw invalid(`The simulation has ${all} ranks, expected at most ${MAX_RANKS}`);
  for (const [name, count] of [
    ['world', worldSize],
    ['joining ranks', joining],
  ] as const) {
    if (count > gpusPerHost && count % gpusPerHost !== 0) {
      throw invalid(`The ${count} ranks of the ${name} do not fill hosts of ${gpusPerHost} GPUs`);
    }
  }
  if (joining > 0 && worldSize % gpusPerHost !== 0) {
    throw invalid(
      `${joining} ranks join, but the ${worldSize} ranks of the world do not fill hosts of ${gpusPerHost} GPUs`,
    );
  }
  const neededHosts = Math.ceil(worldSize / gpusPerHost) + Math.ceil(joining / gpusPerHost);
  if (neededHosts > hosts) {
    throw invalid(`${all} ranks need ${neededHosts} hosts of ${gpusPerHost} GPUs, but the topology has ${hosts}`);
  }
  if (joining > 0 && !['pull', 'p2p'].includes(method)) {
    throw invalid(`Joining ranks cannot receive with the method ${method}, expected pull or p2p`);
  }
  if (isPython(method) && source !== 'memory') throw invalid(`The method ${method} cannot update from ${source}`);
  if (joining > 0 && source !== 'memory')
    throw invalid(`Ranks that join cannot receive from ${source}, expected memory`);
  const receivers = receiversOf(scenario);
  if (method === 'p2p' && joining === 0) throw invalid('The method p2p needs ranks that join');
  if ((neededHosts > 1 || method.includes('p2p')) && host.nics === 0) {
    throw invalid(`The method ${method} needs NICs, but the hosts of the topology have none`);
  }
  checkLayout(layout, receivers);
  return { receivers, firstReceiver: joining > 0 ? worldSize : 0 };
}

function receiversOf({ method, worldSize, joining = 0, receivers }: Scenario): number {
  const isSubset = method === 'python-p2p' || method === 'python-p2p-first';
  if (receivers !== undefined && !isSubset)
    throw invalid(`The method ${method} does not support a choice of receivers`);
  if (receivers !== undefined && receivers > worldSize) {
    throw invalid(`${receivers} ranks of ${worldSize} cannot receive`);
  }
  if (joining > 0) return joining;
  return isSubset ? (receivers ?? Math.min(16, worldSize)) : worldSize;
}

function checkCount(name: string, value: number): void {
  if (!Number.isInteger(value) || value < 1) throw invalid(`${name} is ${value}, expected an integer of 1 or more`);
}

function invalid(what: string): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_CONFIG_INVALID',
    what,
    'Run checkpoint-engine simulate --help, or read docs/simulate.md',
  );
}
