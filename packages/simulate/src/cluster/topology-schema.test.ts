import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { topologySchema } from './topology-schema.ts';

it('is published as topology.schema.json', () => {
  const published = readFileSync(new URL('../../topology.schema.json', import.meta.url), 'utf8');
  expect(JSON.parse(published)).toEqual(topologySchema());
});
