import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { parseSize } from '@checkpoint-engine/planner/sizes';
import type { SweepName } from '@checkpoint-engine/simulate';
import type { SimulatePackage } from './load-simulate.ts';

/** Parses `--sweep nics=1,2,4`. @throws {CheckpointEngineError} `CE_CONFIG_INVALID` */
export function parseSweep(text: string, { SWEEP_NAMES }: SimulatePackage): { name: SweepName; values: number[] } {
  const [given = '', list = '', ...rest] = text.split('=');
  const name = SWEEP_NAMES.find((known) => known === given.trim());
  if (name === undefined || rest.length > 0 || list.trim() === '') {
    throw new CheckpointEngineError(
      'CE_CONFIG_INVALID',
      `--sweep is "${text}", expected ${SWEEP_NAMES.join(', ')} and values, such as nics=1,2,4`,
      'Correct --sweep',
    );
  }
  return { name, values: list.split(',').map((value) => parseValue(name, value.trim())) };
}

function parseValue(name: SweepName, text: string): number {
  if (name === 'bucket-size') return parseSize(text);
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new CheckpointEngineError(
    'CE_CONFIG_INVALID',
    `--sweep has the value "${text}", expected an integer above 0`,
    'Correct --sweep',
  );
}
