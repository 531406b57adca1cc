import { type Field, type FieldKind, SECTIONS, TOP_FIELDS } from './fields.ts';
import { PRESET_NAMES } from './presets.ts';

const TYPES: Readonly<Record<FieldKind, object>> = {
  text: { type: 'string', minLength: 1, maxLength: 200 },
  device: { enum: ['cuda', 'host'], default: 'cuda' },
  count: { type: 'integer', minimum: 1, maximum: 1_000_000 },
  countOrZero: { type: 'integer', minimum: 0, maximum: 1_000_000 },
  rate: { type: 'number', exclusiveMinimum: 0, maximum: 1e9 },
  rateOrZero: { type: 'number', minimum: 0, maximum: 1e9 },
  size: { type: 'number', exclusiveMinimum: 0, maximum: 1e9 },
  time: { type: 'number', minimum: 0, maximum: 1e9 },
};

/** The JSON schema of topology files, as published in `topology.schema.json`. */
export function topologySchema(): object {
  const properties = (fields: Readonly<Record<string, Field>>): Record<string, object> =>
    Object.fromEntries(
      Object.entries(fields).map(([name, { kind, what }]) => [name, { ...TYPES[kind], description: what }]),
    );
  const sections = Object.entries(SECTIONS).map(([section, fields]) => [
    section,
    { type: 'object', additionalProperties: false, properties: properties(fields) },
  ]);
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Cluster topology of checkpoint-engine simulate',
    type: 'object',
    additionalProperties: false,
    properties: {
      $schema: { type: 'string' },
      preset: { enum: PRESET_NAMES, description: 'Source of the fields that the file omits' },
      ...properties(TOP_FIELDS),
      ...Object.fromEntries(sections),
    },
  };
}
