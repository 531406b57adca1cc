import { CheckpointEngineError } from '@checkpoint-engine/interface';
import type { SimulationResult } from './result.ts';
import type { Scenario } from './scenario.ts';
import { simulate } from './simulate.ts';

/** The parameter of a sweep. */
export const SWEEP_NAMES = ['world-size', 'bucket-size', 'nics'] as const;
/** Name of a sweep's parameter. */
export type SweepName = (typeof SWEEP_NAMES)[number];

/** Maximum number of points of a sweep. */
const MAX_POINTS = 64;

/** One simulation of a sweep. */
export interface SweepPoint {
  readonly value: number;
  readonly result: SimulationResult;
}

/**
 * Simulates a scenario once for each value. A larger world gets as many hosts as it needs.
 *
 * @throws {CheckpointEngineError} `CE_CONFIG_INVALID` if there are no values, more than 64, or an invalid one.
 */
export function sweep(scenario: Scenario, name: SweepName, values: readonly number[]): SweepPoint[] {
  if (values.length === 0 || values.length > MAX_POINTS) {
    throw new CheckpointEngineError(
      'CE_CONFIG_INVALID',
      `The sweep has ${values.length} values, expected 1 to ${MAX_POINTS}`,
      'Sweep over fewer values, or run several sweeps',
    );
  }
  return values.map((value) => ({ value, result: simulate(varied(scenario, name, value)) }));
}

function varied(scenario: Scenario, name: SweepName, value: number): Scenario {
  const { topology, joining = 0 } = scenario;
  if (name === 'bucket-size') return { ...scenario, bucketBytes: value };
  if (name === 'nics') return { ...scenario, topology: { ...topology, host: { ...topology.host, nics: value } } };
  const hosts = Math.ceil(value / topology.gpusPerHost) + Math.ceil(joining / topology.gpusPerHost);
  return { ...scenario, worldSize: value, topology: { ...topology, hosts: Math.max(hosts, topology.hosts) } };
}
