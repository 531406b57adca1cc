import { CheckpointEngineError } from '@checkpoint-engine/interface';
import { type Field, type FieldKind, SECTIONS, TOP_FIELDS } from './fields.ts';
import { isPresetName, PRESET_NAMES, presetTopology } from './presets.ts';
import type { ClusterTopology } from './topology.ts';

/** Defaults of fields that a file without a preset may omit. */
const DEFAULTS: Readonly<Record<string, unknown>> = { device: 'cuda' };
/** Largest value of any number in the file: beyond it, times and bytes lose their precision. */
const MOST = 1e9;

const WANTED: Readonly<Record<FieldKind, string>> = {
  text: 'a text of 1 to 200 characters',
  device: 'cuda or host',
  count: 'an integer of 1 to 1,000,000',
  countOrZero: 'an integer of 0 to 1,000,000',
  rate: 'a number above 0',
  rateOrZero: 'a number of 0 or more',
  size: 'a number above 0',
  time: 'a number of 0 or more',
};

const FITS: Readonly<Record<FieldKind, (value: unknown) => boolean>> = {
  text: (value) => typeof value === 'string' && value.length > 0 && value.length <= 200,
  device: (value) => value === 'cuda' || value === 'host',
  count: (value) => Number.isInteger(value) && (value as number) >= 1 && (value as number) <= 1e6,
  countOrZero: (value) => Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 1e6,
  rate: (value) => isNumber(value) && value > 0,
  rateOrZero: (value) => isNumber(value) && value >= 0,
  size: (value) => isNumber(value) && value > 0,
  time: (value) => isNumber(value) && value >= 0,
};

const isNumber = (value: unknown): value is number =>
  typeof value === 'number' && Number.isFinite(value) && value <= MOST;

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * Checks the content of a topology file and takes missing fields from its preset.
 *
 * A file selects a `preset` and overrides some of its fields, or it has all fields.
 *
 * @param value The parsed JSON.
 * @throws {CheckpointEngineError} `CE_CONFIG_INVALID` naming the field, its value and what it accepts.
 */
export function checkTopology(value: unknown): ClusterTopology {
  if (!isRecord(value)) throw invalid(`The topology is ${shown(value)}, expected an object`);
  const { preset, $schema: _, ...own } = value;
  if (preset !== undefined && !(typeof preset === 'string' && isPresetName(preset))) {
    throw invalid(`The preset of the topology is ${shown(preset)}, expected one of ${PRESET_NAMES.join(', ')}`);
  }
  const base: Record<string, unknown> = preset === undefined ? {} : { ...presetTopology(preset) };
  const known = [...Object.keys(TOP_FIELDS), ...Object.keys(SECTIONS)];
  checkNames('', own, known);
  for (const [name, field] of Object.entries(TOP_FIELDS)) {
    checkField(name, own[name] ?? base[name] ?? DEFAULTS[name], field);
  }
  const sections = Object.entries(SECTIONS).map(([section, fields]) => {
    const given = own[section] ?? {};
    if (!isRecord(given)) throw invalid(`${section} of the topology is ${shown(given)}, expected an object`);
    checkNames(`${section}.`, given, Object.keys(fields));
    const filled = { ...(base[section] as Record<string, unknown> | undefined), ...given };
    for (const [name, field] of Object.entries(fields)) checkField(`${section}.${name}`, filled[name], field);
    return [section, filled];
  });
  const topology = { ...DEFAULTS, ...base, ...own, ...Object.fromEntries(sections) } as ClusterTopology;
  checkTogether(topology);
  return topology;
}

function checkNames(path: string, value: Record<string, unknown>, known: readonly string[]): void {
  const unknown = Object.keys(value).find((name) => !known.includes(name));
  if (unknown === undefined) return;
  throw invalid(`The topology has an unknown field ${path}${unknown}, expected ${known.join(', ')}`);
}

function checkField(path: string, value: unknown, { kind }: Field): void {
  if (FITS[kind](value)) return;
  throw invalid(
    value === undefined
      ? `The topology has no ${path}, expected ${WANTED[kind]}`
      : `${path} of the topology is ${shown(value)}, expected ${WANTED[kind]}`,
  );
}

function checkTogether({ hosts, gpusPerHost, gpu, host }: ClusterTopology): void {
  if (gpu.freeGB > gpu.memoryGB) {
    throw invalid(`gpu.freeGB of the topology is ${gpu.freeGB}, more than gpu.memoryGB, which is ${gpu.memoryGB}`);
  }
  if (gpusPerHost % Math.min(host.gpusPerSwitch, gpusPerHost) !== 0) {
    throw invalid(
      `host.gpusPerSwitch of the topology is ${host.gpusPerSwitch}, which does not divide ${gpusPerHost} GPUs`,
    );
  }
  if (hosts > 1 && host.nics === 0) throw invalid(`The topology has ${hosts} hosts without NICs`);
  if (host.nics > 0 && gpusPerHost % host.nics !== 0 && host.nics % gpusPerHost !== 0) {
    throw invalid(`The topology has ${host.nics} NICs for ${gpusPerHost} GPUs, expected a multiple or a divisor`);
  }
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

function invalid(what: string): CheckpointEngineError {
  return new CheckpointEngineError(
    'CE_CONFIG_INVALID',
    what,
    'Correct the topology; docs/simulate.md describes its fields, and topology.schema.json is their JSON schema',
  );
}
