import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chooseFiles } from './choose-files.ts';

const names = (text: string): string[] => text.split(' ').map((name) => `${name}.safetensors`);
const choose = (text: string) => chooseFiles('/ckpt', names(text).sort());

describe('chooseFiles', () => {
  it.each([
    'model',
    'a b c',
    'model-0 model-1 model-2',
    'model-00001-of-00002 model-00002-of-00002',
    'model-00000-of-00002 model-00001-of-00002',
    'pytorch_model_1_of_2 pytorch_model_2_of_2',
    'model-1of2 model-2of2',
    'model.1 model.2 model.3',
    'model-1 model-10 model-2 model-3 model-4 model-5 model-6 model-7 model-8 model-9',
    'step-100',
    'qwen2.5-a qwen2.7-a',
    'model-00001-of-00001',
    'diffusion-00001-of-00002.fp16 diffusion-00002-of-00002.fp16',
    'consolidated',
    'consolidated.00 consolidated.01',
    'llama-lora-merged-00001-of-00001',
    'transformer.scale',
  ])('takes all files of %s', (text) => {
    expect(choose(text)).toEqual({ names: names(text), warnings: [] });
  });

  it.each([
    ['model consolidated', 'model', /consolidated\.safetensors" is left out: .* consolidated format/],
    ['model consolidated.00 consolidated.01', 'model', /consolidated\.00.*\n.*consolidated\.01/],
    ['model-1-of-2 model-2-of-2 consolidated-1-of-1', 'model-1-of-2 model-2-of-2', /consolidated-1-of-1/],
    ['model adapter_model', 'model', /adapter_model\.safetensors" is left out: it is an adapter/],
    ['model pytorch_lora_weights', 'model', /pytorch_lora_weights\.safetensors" is left out: it is an adapter/],
    ['model optimizer', 'model', /optimizer\.safetensors" is left out: it is training state/],
    ['model optimizer-00001-of-00004', 'model', /optimizer-00001/],
    ['model random_states_0 scheduler model.optim', 'model', /model\.optim.*\n.*random_states_0.*\n.*scheduler/],
    ['consolidated optimizer', 'consolidated', /optimizer/],
  ])('of %s takes %s and reports what is left out', (text, chosen, warnings) => {
    const choice = choose(text);
    expect(choice.names).toEqual(names(chosen));
    expect(choice.warnings.join('\n')).toMatch(warnings);
  });

  it.each([
    ['model-00001-of-00003 model-00003-of-00003', /lacks 1 of 3 shards: model-00002-of-00003\.safetensors$/],
    ['model-00000-of-00003 model-00002-of-00003', /lacks 1 of 3 shards: model-00001-of-00003\.safetensors$/],
    ['model-00001-of-00003', /lacks 2 of 3 shards: model-00002-of-00003\.safetensors, model-00003-of-00003/],
    ['model_2_of_2', /lacks 1 of 2 shards: model_1_of_2/],
    ['consolidated-2-of-2', /lacks 1 of 2 shards: consolidated-1-of-2/],
    ['model-1-of-2 optimizer', /lacks 1 of 2 shards: model-2-of-2/],
    ['model-1of3 model-3of3', /lacks 1 of 3 shards: model-2of3/],
    ['model-1-of-100001', /lacks 100000 of 100001 shards: model-2-of-100001.* and 99990 more$/],
    ['m-00001-of-99999999999999999999', /lacks .* of .* shards: m-00002-of-9+\.safetensors,.* more$/],
    ['model-00002-of-00400', /lacks 399 of 400 shards: model-00001-of-00400.* and 389 more$/],
  ])('names the shards that %s lacks', (text, message) => {
    expect(() => choose(text)).toThrow(
      expect.objectContaining({ code: 'CE_FILE_NOT_FOUND', message: expect.stringMatching(message) }),
    );
  });

  it.each([
    'model-00001-of-00002 model-00002-of-00002 model-00001-of-00001',
    'model-00001-of-00002 model-00002-of-00002 model-00001-of-00003',
    'model-00001-of-00002 model-00002-of-00002 old-00001-of-00001',
    'model-00001-of-00002 model-00002-of-00002 model-1-of-2 model-2-of-2',
    'model-00001-of-00002 model-00002-of-00002 model',
    'model-00001-of-00002 model-00002-of-00002 old',
    'model-00000-of-00002 model-00001-of-00002 model-00002-of-00002',
    'model-00001-of-00002 model-00002-of-00002 model-00003-of-00002',
    'vae consolidated',
  ])('refuses %s, which belong to several sets', (text) => {
    expect(() => choose(text)).toThrow(
      expect.objectContaining({
        code: 'CE_FILE_INVALID',
        message: expect.stringMatching(/no index.* belong to several sets/),
      }),
    );
  });

  it.each([
    ['adapter_model', /an adapter \(LoRA\) but not a model: adapter_model\.safetensors/],
    ['pytorch_lora_weights optimizer', /an adapter/],
    ['optimizer scheduler', /training state but not a model: optimizer/],
  ])('finds no model in %s', (text, message) => {
    expect(() => choose(text)).toThrow(
      expect.objectContaining({ code: 'CE_CHECKPOINT_EMPTY', message: expect.stringMatching(message) }),
    );
  });

  it('warns about extra files next to a complete model that it treats as a part of the model', () => {
    const { names: chosen, warnings } = choose('model mtp');
    expect(chosen).toEqual(names('model mtp'));
    expect(warnings).toEqual([expect.stringMatching(/2 safetensors files are read as one checkpoint/)]);
  });

  it.each([
    ['model-0 model-2', 'model-1'],
    ['model-00 model-01 model-04', 'model-02'],
    ['model-2 model-3', 'model-1'],
    ['consolidated.01 consolidated.02 consolidated.04', 'consolidated.03'],
    ['layer_9 layer_11 layer_10', 'layer_1'],
  ])('warns that numbers skip a file: %s', (text, missing) => {
    const { names: chosen, warnings } = choose(text);
    expect(chosen).toHaveLength(text.split(' ').length);
    expect(warnings).toEqual([expect.stringContaining(`/ckpt/${missing}.safetensors" may be missing`)]);
  });

  it('names exactly the missing shards, for every numbering', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 40 }),
        fc.constantFrom(0, 1),
        fc.infiniteStream(fc.boolean()),
        (total, first, coins) => {
          const all = Array.from({ length: total }, (_, index) => {
            return `m-${String(first + index).padStart(5, '0')}-of-${String(total).padStart(5, '0')}.safetensors`;
          });
          // The first shard shows where the numbering starts.
          const [kept, lost] = [all.slice(0, 1), [] as string[]];
          for (const name of all.slice(1)) (coins.next().value ? kept : lost).push(name);
          if (lost.length === 0) {
            expect(chooseFiles('/c', kept).names).toEqual(all);
            return;
          }
          expect(() => chooseFiles('/c', kept)).toThrow(`lacks ${lost.length} of ${total} shards: ${lost[0]}`);
        },
      ),
    );
  });
});
