import process from 'node:process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
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

/** Digests and answers of an engine. */
interface Held {
  readonly digests: Digests;
  readonly tokens: number[][];
}

const found = findEnvironment();
if ('reason' in found) console.warn(`skipped: no environment with vLLM: ${found.reason}`);
if ('reason' in found && process.env.REQUIRE_ENGINES) throw new Error(found.reason);

describe.skipIf('reason' in found).concurrent('vLLM with a draft model', () => {
  let engines: Engines;

  beforeAll(() => {
    engines = openEngines('folder' in found ? found.folder : '');
  });
  afterAll(() => engines?.close());

  const held = async (server: VllmServer): Promise<Held> => {
    const [digests] = (await server.rpc('parameter_digests')) as unknown as Digests[];
    return { digests: digests!, tokens: await server.tokens(PROMPTS) };
  };
  const update = async (server: VllmServer, model: string): Promise<string> => {
    const args = ['--device', 'host', '--checkpoint-path', model, '--endpoint', server.url, '--bucket-size', '1MiB'];
    const { status, stderr } = await runCommand(['update', ...args]);
    expect(status, stderr).toBe(0);
    return stderr;
  };
  /** Digests of an engine that loaded a checkpoint by itself. */
  const own = ({ target, draft }: Digests): string[] =>
    Object.keys(draft).filter((name) => draft[name] !== target[name]);

  it.each([
    { way: 'extension', flags: DIGESTS },
    { way: 'backend', flags: [...SHOWN, ...BACKEND] },
  ])('updates a draft model from the same checkpoint, by the $way', { timeout: 2_400_000 }, async (by) => {
    const [a, b] = [engines.model('mimo', 1), engines.model('mimo', 2)];
    await using server = await VllmServer.start(engines, a, [...by.flags, ...predictor]);
    const fresh = await held(server);
    const ownOfDraft = own(fresh.digests);
    // The predictor has its own layers, and shares the embedding and the head of the target.
    expect(ownOfDraft).not.toEqual([]);
    expect(ownOfDraft.length).toBeLessThan(Object.keys(fresh.digests.draft).length);
    expect(await update(server, b)).toContain(by.way);
    const other = await held(server);
    expect(other.tokens).not.toEqual(fresh.tokens);
    for (const [model, digests] of Object.entries(other.digests)) {
      const before = fresh.digests[model as 'target' | 'draft'];
      expect(Object.keys(digests).filter((name) => digests[name] === before[name])).toEqual([]);
    }
    // Loads and pulls have the same result as the engine's own load.
    for (const [model, wanted] of [
      [a, fresh],
      [b, other],
    ] as const) {
      await update(server, model);
      expect(await held(server)).toEqual(wanted);
    }
    const kept = 'The checkpoint has no tensors of the draft model, which keeps its weights';
    expect(server.log).not.toContain(kept);
    // A checkpoint without the predictor leaves its layers as they are.
    await update(server, engines.model('mimo-plain', 1));
    const { digests, tokens } = await held(server);
    expect(digests.target).toEqual(fresh.digests.target);
    for (const name of ownOfDraft) expect(digests.draft[name], name).toBe(other.digests.draft[name]);
    expect(tokens.map((answer) => answer.length)).toEqual(PROMPTS.map(() => 16));
    expect(server.log).toContain(kept);
  });

  it.each([
    { method: 'draft_model', kind: 'qwen3-draft', shares: false },
    // It shares the embedding of the target.
    { method: 'eagle3', kind: 'qwen3-eagle3', shares: true },
  ] as const)(
    'keeps a draft model with a separate checkpoint, and logs this: $method',
    { timeout: 1_200_000 },
    async ({ method, kind, shares }) => {
      const [a, b, draft] = [engines.model('qwen3', 1), engines.model('qwen3', 2), engines.model(kind, 9)];
      const speculative = { method, model: draft, num_speculative_tokens: 2 };
      const flags = [...DIGESTS, '--speculative-config', JSON.stringify(speculative)];
      await using server = await VllmServer.start(engines, a, flags);
      const before = await held(server);
      const ownOfDraft = own(before.digests);
      expect(ownOfDraft.length > 0).toBe(true);
      expect(ownOfDraft.length < Object.keys(before.digests.draft).length).toBe(shares);
      expect(await update(server, b)).toContain(`its draft model ${draft} keeps its weights`);
      const after = await held(server);
      for (const name of Object.keys(after.digests.draft)) {
        const isKept = after.digests.draft[name] === before.digests.draft[name];
        expect(isKept, name).toBe(ownOfDraft.includes(name));
      }
      expect(after.digests.target).not.toEqual(before.digests.target);
      expect(after.tokens).not.toEqual(before.tokens);
      // Loads and pulls have the same result.
      for (const [model, wanted] of [
        [a, before],
        [b, after],
      ] as const) {
        await update(server, model);
        expect(await held(server)).toEqual(wanted);
      }
    },
  );
});
