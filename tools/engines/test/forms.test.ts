import process from 'node:process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { allOf, type Engines, findEnvironment, openEngines } from './environment.ts';

const PROMPTS = [
  [1, 2, 3, 4, 5, 6, 7, 8],
  [42, 1999, 7],
];

/** Models whose parameters do not correspond one to one to the tensors of the checkpoint. */
const FORMS = [
  // The head shares the embedding, which has rows that the checkpoint does not have.
  { name: 'tied embeddings and a padded vocabulary', kind: 'qwen3-tied', options: {} },
  // Adapters wrap modules, so the parameters of a layer are in its `base_layer`.
  { name: 'LoRA and a padded vocabulary', kind: 'qwen3-odd', options: { enable_lora: true, max_lora_rank: 8 } },
] as const;

const found = findEnvironment();
if ('reason' in found && process.env.REQUIRE_ENGINES) throw new Error(found.reason);
if ('reason' in found) console.warn(`skipped: no environment with vLLM: ${found.reason}`);

describe.skipIf('reason' in found).concurrent('vLLM, updated in place', () => {
  let engines: Engines;

  beforeAll(() => {
    engines = openEngines('folder' in found ? found.folder : '');
  });
  afterAll(() => engines?.close());

  it.each(FORMS)('answers like a new engine: $name', { timeout: 1_800_000 }, async ({ kind, options }) => {
    const models = [engines.model(kind, 1), engines.model(kind, 2)] as const;
    const fresh = models.map((model) => engines.freshTokens(model, PROMPTS, options));
    const [a, b] = await allOf(fresh);
    expect(a).not.toEqual(b);
    const updates = await engines.inPlace(models, PROMPTS, options);
    expect(updates.map(({ tokens }) => tokens)).toEqual([b, a, b, a, b]);
    // The first update is a load. The others pull direct modules; the fourth is the first with representatives.
    expect(updates.map(({ pulled }) => pulled > 0)).toEqual([false, true, true, true, true]);
    expect(updates.map(({ opaque }) => opaque)).toEqual([0, 0, 0, 0, 0]);
    expect(updates.map(({ represented }) => represented > 0)).toEqual([false, false, false, true, true]);
  });
});
