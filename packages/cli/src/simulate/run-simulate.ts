import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { checkOutputFiles } from '../output/check-output-files.ts';
import { writeOutputFile } from '../output/output-file.ts';
import type { Terminal } from '../output/terminal.ts';
import { loadReport } from '../report/load-report.ts';
import { calibrateScenarios } from './calibrate-scenarios.ts';
import { calibrationText } from './calibration-text.ts';
import type { SimulateFlags } from './flags.ts';
import { loadSimulate } from './load-simulate.ts';
import { parseSweep } from './parse-sweep.ts';
import { scenariosOf } from './scenarios.ts';
import { simulationReport } from './simulation-report.ts';
import { simulationText } from './simulation-text.ts';
import { sweepText } from './sweep-text.ts';

/**
 * Runs `simulate`. @throws {CheckpointEngineError} `CE_CONFIG_INVALID`, `CE_PACKAGE_NOT_FOUND`, `CE_PLAN_*`,
 * `CE_FILE_*`
 */
export async function runSimulate(flags: SimulateFlags, terminal: Terminal): Promise<void> {
  const simulate = await loadSimulate();
  const { report } = flags;
  const drawer = report === undefined ? undefined : await loadReport('--report');
  if (report !== undefined) {
    await checkOutputFiles([{ path: report, flag: '--report' }], [flags.metasFile, flags.calibrate]);
  }
  if (report !== undefined && flags.sweep !== undefined) throw sweepWithReport();
  const given = await scenariosOf(flags, simulate);
  const calibrated =
    flags.calibrate === undefined ? undefined : await calibrateScenarios(flags.calibrate, given, simulate);
  const scenarios = calibrated?.scenarios ?? given;
  const calibration = calibrated?.calibration;
  const { colors } = terminal.out;
  const print = (value: object, text: () => string): void =>
    terminal.print(
      flags.json
        ? JSON.stringify({ ok: true, command: 'simulate', ...(calibration && { calibration }), ...value })
        : [...(calibration ? [calibrationText(calibration, colors)] : []), text()].join('\n'),
    );
  if (flags.sweep !== undefined) {
    const { name, values } = parseSweep(flags.sweep, simulate);
    const sweeps = scenarios.map((scenario) => ({
      method: scenario.method,
      points: simulate.sweep(scenario, name, values),
    }));
    print({ sweep: name, sweeps }, () => sweepText(name, sweeps, colors));
    return;
  }
  const simulations = scenarios.map((scenario) => {
    const prepared = simulate.prepare(scenario);
    return { result: prepared.run(), whatIf: simulate.whatIf(prepared, scenario.topology) };
  });
  if (drawer !== undefined) {
    const date = new Date().toISOString();
    const [first, ...others] = simulations.map((simulation) => simulationReport(simulation, date));
    await writeOutputFile(report!, drawer.updatePage(first!, ...others));
  }
  print({ simulations }, () => simulationText(simulations, colors));
}

function sweepWithReport(): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_CONFIG_INVALID',
    '--report does not work with --sweep',
    'Remove --report: a page shows one simulation per method',
  );
}
