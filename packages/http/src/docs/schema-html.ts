import { html } from 'hono/html';
import type { Schema } from './document.ts';

/** Escaped HTML. */
export type Html = ReturnType<typeof html>;

/** Objects nested more deeply than this are shown by name only, without their fields. */
const MAX_DEPTH = 4;

/** A table of an object's fields, those of nested objects included. */
export function fieldsTable(schema: Schema): Html {
  const rows = fieldsOf(schema, '', 0);
  if (rows.length === 0) return html`<p>${typeText(schema)}</p>`;
  return html`<table>
    <thead><tr><th>Field</th><th>Type</th><th>Meaning</th></tr></thead>
    <tbody>${rows.map(fieldRow)}</tbody>
  </table>`;
}

/** The name of a type, with a link if the document defines it. */
export function typeText(schema: Schema): Html {
  const name = refName(schema);
  if (name !== undefined) return html`<a href="#schema-${name}">${name}</a>`;
  if (schema.enum) return html`${schema.enum.map((value) => JSON.stringify(value)).join(' | ')}`;
  if (schema.anyOf) return html`${schema.anyOf.map((one, at) => html`${at > 0 ? ' | ' : ''}${typeText(one)}`)}`;
  if (schema.items) return html`array of ${typeText(schema.items)}`;
  const types = typeof schema.type === 'string' ? [schema.type] : (schema.type ?? ['any']);
  return html`${types.join(' | ')}${schema.format === undefined ? '' : ` (${schema.format})`}`;
}

/** The description of a value: text, bounds, default, example. */
export function meaningText(schema: Schema, description: string | undefined = schema.description): Html {
  const facts = [
    ...(schema.minimum === undefined ? [] : [`from ${schema.minimum}`]),
    ...(schema.exclusiveMinimum === undefined ? [] : [`above ${schema.exclusiveMinimum}`]),
    ...(schema.maximum === undefined ? [] : [`at most ${schema.maximum}`]),
    ...(schema.default === undefined ? [] : [`default ${JSON.stringify(schema.default)}`]),
    ...(schema.example === undefined ? [] : [`example ${JSON.stringify(schema.example)}`]),
  ];
  const text = description === undefined ? '' : `${description}. `;
  return html`${text}<span class="quiet">${facts.join('; ')}</span>`;
}

/** Escapes a text in which words in backquotes are code. */
export function withCode(text: string): Html {
  return html`${text.split('`').map((part, at) => (at % 2 === 1 ? html`<code>${part}</code>` : part))}`;
}

/** The name of a schema among the document's components. */
export function refName({ $ref }: Schema): string | undefined {
  return $ref?.split('/').at(-1);
}

interface Field {
  readonly path: string;
  readonly schema: Schema;
  readonly isRequired: boolean;
}

function fieldsOf({ properties = {}, required = [], items }: Schema, prefix: string, depth: number): Field[] {
  if (items) return fieldsOf(items, `${prefix}[]`, depth);
  if (depth >= MAX_DEPTH) return [];
  return Object.entries(properties).flatMap(([name, schema]) => {
    const path = prefix === '' ? name : `${prefix}.${name}`;
    return [{ path, schema, isRequired: required.includes(name) }, ...fieldsOf(schema, path, depth + 1)];
  });
}

function fieldRow({ path, schema, isRequired }: Field): Html {
  return html`<tr>
    <td><code>${path}</code>${isRequired ? '' : html` <span class="quiet">optional</span>`}</td>
    <td>${typeText(schema)}</td>
    <td>${meaningText(schema)}</td>
  </tr>`;
}
