import type { BucketFigures, Calibration, Scenario } from '@checkpoint-engine/simulate';
import type { SimulatePackage } from './load-simulate.ts';
import { readJson } from './read-json.ts';

/** Scenarios on the cluster that a trace describes. */
export interface CalibratedScenarios {
  readonly calibration: Calibration;
  readonly scenarios: readonly Scenario[];
}

/** Fits the cluster of scenarios to a trace. @throws {CheckpointEngineError} `CE_CONFIG_INVALID` */
export async function calibrateScenarios(
  file: string,
  scenarios: readonly Scenario[],
  simulate: SimulatePackage,
): Promise<CalibratedScenarios> {
  const trace = await readJson('--calibrate', file);
  const [first] = scenarios;
  const calibration = simulate.calibrate({ trace, topology: first!.topology, buckets: bucketsOf(first!, simulate) });
  return { calibration, scenarios: scenarios.map((one) => ({ ...one, topology: calibration.topology })) };
}

/** The buckets of the traced update if the scenario describes the same update; otherwise their sizes do not apply. */
function bucketsOf(scenario: Scenario, simulate: SimulatePackage): readonly BucketFigures[] | undefined {
  return scenario.method === 'broadcast' ? simulate.prepare(scenario).buckets : undefined;
}
