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

describe.skipIf('reason' in found)('vLLM with a draft model', () => {
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

  it('updates one that predicts from the same checkpoint, by both ways', { timeout: 2_400_000 }, async () => {
    const [a, b] = [engines.model('mimo', 1), engines.model('mimo', 2)];
    await start(b, [...DIGESTS, ...predictor]);
    const freshB = await held();
    await server!.close();
    for (const [way, flags] of [
      ['extension', DIGESTS],
      ['backend', [...SHOWN, ...BACKEND]],
    ] as const) {
      await start(a, [...flags, ...predictor]);
      const freshA = await held();
      // The predictor has layers of its own, and the embedding and the head of the target.
      expect(own(freshA.digests)).not.toEqual([]);
      expect(own(freshA.digests).length).toBeLessThan(Object.keys(freshA.digests.draft).length);
      expect(freshA.tokens).not.toEqual(freshB.tokens);
      for (const [model, wanted] of [
        [b, freshB],
        [a, freshA],
        [b, freshB],
      ] as const) {
        expect(await update(model), way).toContain(way);
        expect(await held(), way).toEqual(wanted);
      }
      expect(server!.log).not.toContain('no tensors of the draft model');
      // A checkpoint without the predictor leaves its layers as they are.
      await update(engines.model('mimo-plain', 1));
      const { digests, tokens } = await held();
      expect(digests.target, way).toEqual(freshA.digests.target);
      for (const name of own(freshA.digests)) expect(digests.draft[name], name).toBe(freshB.digests.draft[name]);
      expect(tokens.map((answer) => answer.length)).toEqual(PROMPTS.map(() => 16));
      expect(server!.log).toContain('The checkpoint has no tensors of the draft model, which keeps its weights');
      await server!.close();
    }
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
    expect(after.tokens).toEqual(engines.freshTokens(b, PROMPTS));
    await update(a);
    expect(await held()).toEqual(before);
  });
});
