import { tensorBytes } from '@checkpoint-engine/meta';
import { checkScenario, isPython } from './check-scenario.ts';
import { ClusterLinks } from './cluster/links.ts';
import type { ClusterTopology } from './cluster/topology.ts';
import { criticalPath } from './engine/critical-path.ts';
import { runTasks } from './engine/run-tasks.ts';
import { bottleneckOf } from './figures/bottleneck.ts';
import { linkUses } from './figures/link-uses.ts';
import { rankSteps } from './figures/rank-steps.ts';
import { stageTimes } from './figures/stage-times.ts';
import { planBroadcast } from './methods/broadcast.ts';
import type { BucketFigures, PlannedMethod } from './methods/planned.ts';
import { planPullMethod } from './methods/pull.ts';
import { planPython } from './methods/python.ts';
import type { SimulationResult } from './result.ts';
import type { Scenario } from './scenario.ts';

/** A scenario with its plan. */
export interface PreparedSimulation {
  /** Buckets in the order in which they are sent; empty for a pull. */
  readonly buckets: readonly BucketFigures[];
  /**
   * Runs the plan, on the scenario's cluster or on one with other rates and costs.
   *
   * @param topology Must have the same hosts, GPUs and NICs; the plan stays the same.
   */
  run(topology?: ClusterTopology): SimulationResult;
}

/**
 * Simulates an update: how long it takes, what it waits for, and what each link carries.
 *
 * The plan comes from the functions of the parameter server. The simulation is a discrete-event simulation
 * of flows that share links by max-min fairness. Equal input gives equal output.
 *
 * @throws {CheckpointEngineError} `CE_CONFIG_INVALID` for an invalid scenario; `CE_PLAN_MEMORY_TOO_SMALL`.
 * @example
 * ```ts
 * const topology = { ...presetTopology('h200'), hosts: 32 };
 * const model = { title: 'Kimi-K2', tensors: modelOf('kimi-k2').tensors() };
 * const layout = { tp: 16, ep: 1, pp: 1, rules: [] };
 * const { totalMs, bottleneck } = simulate({ topology, model, layout, method: 'pull', worldSize: 256 });
 * ```
 */
export function simulate(scenario: Scenario): SimulationResult {
  return prepare(scenario).run();
}

/** Plans a scenario, so that it can run several times with different rates and costs. @throws As {@link simulate}. */
export function prepare(scenario: Scenario): PreparedSimulation {
  const ranks = checkScenario(scenario);
  const { method, model, worldSize, joining = 0 } = scenario;
  const planned = planOf(scenario, ranks);
  const totalBytes = model.tensors.reduce((sum, { dtype, shape }) => sum + tensorBytes(dtype, shape), 0);
  const tensorCount = model.tensors.length;
  return {
    buckets: planned.buckets,
    run: (topology = scenario.topology) => {
      const { tasks, links, totalMs, last } = runTasks((list, network) =>
        planned.build(list, new ClusterLinks(topology, network), topology),
      );
      const path = criticalPath(last);
      const uses = linkUses(links, totalMs);
      const stages = stageTimes(tasks, path);
      return {
        title: model.title,
        method,
        cluster: topology.name,
        ranks: worldSize + joining,
        receivers: ranks.receivers,
        totalMs,
        totalBytes,
        tensorCount,
        plan: planned.figures,
        memory: planned.memory,
        stages,
        criticalPath: path,
        bottleneck: bottleneckOf(stages, uses, totalMs),
        links: uses,
        steps: rankSteps(tasks, planned.shownRanks),
        warnings: [...planned.warnings, ...memoryWarnings(planned, topology)],
      };
    },
  };
}

function planOf(scenario: Scenario, ranks: ReturnType<typeof checkScenario>): PlannedMethod {
  if (isPython(scenario.method)) return planPython(scenario, ranks);
  return scenario.method === 'pull' ? planPullMethod(scenario, ranks) : planBroadcast(scenario, ranks);
}

function memoryWarnings({ memory }: PlannedMethod, { gpu }: ClusterTopology): string[] {
  const warnings: string[] = [];
  const { deviceBytes, keptBytes } = memory;
  if (deviceBytes > gpu.freeGB * 1e9) {
    warnings.push(
      `The update needs ${(deviceBytes / 1e9).toFixed(1)} GB of device memory, but ${gpu.freeGB} GB are free`,
    );
  }
  if (keptBytes > gpu.memoryGB * 1e9) {
    warnings.push(
      `The parameters of a rank have ${(keptBytes / 1e9).toFixed(0)} GB, but a ${gpu.name} has ${gpu.memoryGB} GB: divide the model over more ranks`,
    );
  }
  return warnings;
}
