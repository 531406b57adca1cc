import { describe, expect, it } from 'vitest';
import { hintOf } from './known-failures.ts';

describe('hintOf', () => {
  it.each([
    "AttributeError: 'Parameter' object has no attribute 'load_row_parallel_weight'",
    "AttributeError: 'Parameter' object has no attribute 'load_qkv_weight'. Did you mean: 'load'?",
    "AttributeError: 'Parameter' object has no attribute 'weight_loader'",
    "AttributeError: 'Parameter' object has no attribute 'output_dim'",
    "KeyError: 'model.layers.0.mlp.down_proj.weight_scale_inv'",
    "KeyError: 'layers.3.self_attn.o_proj.input_scale'",
    "KeyError: 'layers.3.mlp.up_proj.qweight'",
  ])('recommends the receiver for: %s', (line) => {
    expect(hintOf(`Traceback (most recent call last):\n  File "/x.py", line 1, in run\n${line}\n`)).toContain(
      'pip install checkpoint-engine-worker',
    );
  });

  it.each([
    "AttributeError: 'Foo' object has no attribute 'load_weights'",
    "KeyError: 'model.layers.99.mlp.down_proj.weight'",
    'torch.OutOfMemoryError: CUDA out of memory',
    '',
  ])('returns no hint for: %s', (line) => {
    expect(hintOf(line)).toBeUndefined();
  });
});
