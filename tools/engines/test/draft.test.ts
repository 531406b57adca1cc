import process from 'node:process';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Engines, findEnvironment, openEngines } from './environment.ts';
import { runCommand } from './update.ts';
import { VllmServer } from './vllm-server.ts';

const PROMPTS = [
  [1, 2, 3, 4, 5, 6, 7, 8],
  [42, 1999, 7],
];
const DIGESTS = ['--worker-extension-cls', 'draft_extension.DraftExtension'];
const SHOWN = ['--worker-extension-cls', 'draft_extension.DigestExtension'];
const BACKEND = ['--weight-transfer-config', '{"backend":"checkpoint_engine"}'];
const predictor = ['--speculative-config', '{"method":"mtp","num_speculative_tokens":1}'];

/** Digests by model and parameter. */
type Digests = Readonly<Record<'target' | 'draft', Readonly<Record<string, string>>>>;

/** What an engine holds and answers. */
interface Held {
  readonly digests: Digests;
  readonly tokens: number[][];
}

const found = findEnvironment();
if ('reason' in found && process.env.REQUIRE_ENGINES) throw new Error(found.reason);

// These tests have not run through yet: on two cores they take longer than the machine was free.
const isWanted = process.env.ENGINES_UNPROVED === '1';
if (!isWanted) console.warn('skipped: set ENGINES_UNPROVED=1 to test draft models');

describe.skipIf('reason' in found || !isWanted)('vLLM with a draft model', () => {
  let engines: Engines;
  let server: VllmServer | undefined;

  beforeAll(() => {
    engines = openEngines('folder' in found ? found.folder : '');
  });
  afterEach(async () => {
    await server?.close();
    server = undefined;
  });
  afterAll(() => engines?.close());

  const start = async (model: string, flags: readonly string[]): Promise<VllmServer> => {
    server = await VllmServer.start(engines, model, flags);
    return server;
  };
  const held = async (): Promise<Held> => {
    const [digests] = (await server!.rpc('parameter_digests')) as unknown as Digests[];
    return { digests: digests!, tokens: await server!.tokens(PROMPTS) };
  };
  const update = async (model: string): Promise<string> => {
    const args = ['--device', 'host', '--checkpoint-path', model, '--endpoint', server!.url, '--bucket-size', '1MiB'];
    const { status, stderr } = await runCommand(['update', ...args]);
    expect(status, stderr).toBe(0);
    return stderr;
  };
  /** What an engine of one checkpoint holds by itself. */
  const own = ({ target, draft }: Digests): string[] =>
    Object.keys(draft).filter((name) => draft[name] !== target[name]);

  it.each([
    { way: 'extension', flags: DIGESTS },
    { way: 'backend', flags: [...SHOWN, ...BACKEND] },
  ])('updates one that predicts from the same checkpoint, by the $way', { timeout: 2_400_000 }, async (by) => {
    const [a, b] = [engines.model('mimo', 1), engines.model('mimo', 2)];
    await start(a, [...by.flags, ...predictor]);
    const fresh = await held();
    const ownOfDraft = own(fresh.digests);
    // The predictor has layers of its own, and the embedding and the head of the target.
    expect(ownOfDraft).not.toEqual([]);
    expect(ownOfDraft.length).toBeLessThan(Object.keys(fresh.digests.draft).length);
    expect(await update(b)).toContain(by.way);
    const other = await held();
    expect(other.tokens).not.toEqual(fresh.tokens);
    for (const [model, digests] of Object.entries(other.digests)) {
      const before = fresh.digests[model as 'target' | 'draft'];
      expect(Object.keys(digests).filter((name) => digests[name] === before[name])).toEqual([]);
    }
    // Loads and pulls give the same, and what the engine has loaded by itself.
    for (const [model, wanted] of [
      [a, fresh],
      [b, other],
      [a, fresh],
      [b, other],
    ] as const) {
      await update(model);
      expect(await held()).toEqual(wanted);
    }
    const kept = 'The checkpoint has no tensors of the draft model, which keeps its weights';
    expect(server!.log).not.toContain(kept);
    // A checkpoint without the predictor leaves its layers as they are.
    await update(engines.model('mimo-plain', 1));
    const { digests, tokens } = await held();
    expect(digests.target).toEqual(fresh.digests.target);
    for (const name of ownOfDraft) expect(digests.draft[name], name).toBe(other.digests.draft[name]);
    expect(tokens.map((answer) => answer.length)).toEqual(PROMPTS.map(() => 16));
    expect(server!.log).toContain(kept);
  });

  it('keeps one that has a checkpoint of its own, and says so', { timeout: 1_200_000 }, async () => {
    const [a, b, draft] = [engines.model('qwen3', 1), engines.model('qwen3', 2), engines.model('qwen3-draft', 9)];
    const speculative = { method: 'draft_model', model: draft, num_speculative_tokens: 2 };
    await start(a, [...DIGESTS, '--speculative-config', JSON.stringify(speculative)]);
    const before = await held();
    expect(await update(b)).toContain(`its draft model ${draft} keeps its weights`);
    const after = await held();
    expect(after.digests.draft).toEqual(before.digests.draft);
    expect(after.digests.target).not.toEqual(before.digests.target);
    expect(after.tokens).not.toEqual(before.tokens);
    await update(a);
    expect(await held()).toEqual(before);
  });
});
