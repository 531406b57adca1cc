"""Writes a sharded safetensors checkpoint with random bits, made on the GPU.

usage: make_checkpoint.py --dir DIR --model qwen3-8b|mixed|tiny [--seed 0] [--shards 8] [--layers N]

qwen3-8b  the tensor names, shapes and dtype of Qwen3-8B: 399 tensors, 15.3 GiB of bf16
mixed     every dtype that torch and safetensors share, odd sizes, scalars, empty tensors
many      20,000 tensors of 1 byte to 64 KiB
huge      one tensor of 2.4 GiB beside small ones
one       one small tensor
"""

import argparse
import json
import os

import torch
from safetensors.torch import save_file

HIDDEN, INTER, HEADS, KV, HEAD = 4096, 12288, 32, 8, 128


def qwen3_8b(layers: int):
    yield "model.embed_tokens.weight", (151936, HIDDEN), torch.bfloat16
    for layer in range(layers):
        prefix = f"model.layers.{layer}"
        yield f"{prefix}.input_layernorm.weight", (HIDDEN,), torch.bfloat16
        yield f"{prefix}.mlp.down_proj.weight", (HIDDEN, INTER), torch.bfloat16
        yield f"{prefix}.mlp.gate_proj.weight", (INTER, HIDDEN), torch.bfloat16
        yield f"{prefix}.mlp.up_proj.weight", (INTER, HIDDEN), torch.bfloat16
        yield f"{prefix}.post_attention_layernorm.weight", (HIDDEN,), torch.bfloat16
        yield f"{prefix}.self_attn.k_norm.weight", (HEAD,), torch.bfloat16
        yield f"{prefix}.self_attn.k_proj.weight", (KV * HEAD, HIDDEN), torch.bfloat16
        yield f"{prefix}.self_attn.o_proj.weight", (HIDDEN, HEADS * HEAD), torch.bfloat16
        yield f"{prefix}.self_attn.q_norm.weight", (HEAD,), torch.bfloat16
        yield f"{prefix}.self_attn.q_proj.weight", (HEADS * HEAD, HIDDEN), torch.bfloat16
        yield f"{prefix}.self_attn.v_proj.weight", (KV * HEAD, HIDDEN), torch.bfloat16
    yield "model.norm.weight", (HIDDEN,), torch.bfloat16
    yield "lm_head.weight", (151936, HIDDEN), torch.bfloat16


def mixed():
    names = "bool uint8 int8 float8_e5m2 float8_e4m3fn float8_e8m0fnu int16 uint16 float16 bfloat16 int32 uint32 float32 complex64 float64 int64 uint64"
    for name in names.split():
        dtype = getattr(torch, name, None)
        if dtype is None:
            continue
        for shape in ((), (0,), (1,), (7,), (129, 3), (3, 0, 5), (1023, 1025)):
            yield f"{name}.{'x'.join(map(str, shape)) or 'scalar'}", shape, dtype


def many():
    for index in range(20_000):
        yield f"experts.{index}.w", ((index * 7919) % 65536 + 1,), torch.uint8


def huge():
    yield "small.0", (17,), torch.float32
    yield "huge", (2400, 2**19), torch.bfloat16
    yield "small.1", (33,), torch.float32


def one():
    yield "weight", (16,), torch.float32


def random_tensor(shape, dtype, generator):
    count = 1
    for n in shape:
        count *= n
    size = torch.empty((), dtype=dtype).element_size()
    data = torch.randint(0, 2 if dtype == torch.bool else 256, (count * size,), dtype=torch.uint8, device="cuda", generator=generator)
    return data.view(dtype).reshape(shape).cpu()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--layers", type=int, default=36)
    args = parser.parse_args()
    models = {"qwen3-8b": lambda: qwen3_8b(args.layers), "mixed": mixed, "many": many, "huge": huge, "one": one}
    tensors = list(models[args.model]())
    generator = torch.Generator("cuda").manual_seed(args.seed)
    os.makedirs(args.dir, exist_ok=True)
    total = sum(torch.empty((), dtype=d).element_size() * torch.Size(s).numel() for _, s, d in tensors)
    shards: list[list] = [[]]
    filled = 0
    for name, shape, dtype in tensors:
        size = torch.empty((), dtype=dtype).element_size() * torch.Size(shape).numel()
        if filled > 0 and filled + size / 2 > total / args.shards and len(shards) < args.shards:
            shards.append([])
            filled = 0
        shards[-1].append((name, shape, dtype))
        filled += size
    weight_map = {}
    for index, shard in enumerate(shards):
        file = f"model-{index + 1:05d}-of-{len(shards):05d}.safetensors"
        save_file({n: random_tensor(s, d, generator) for n, s, d in shard}, os.path.join(args.dir, file))
        weight_map.update({n: file for n, _, _ in shard})
    with open(os.path.join(args.dir, "model.safetensors.index.json"), "w") as out:
        json.dump({"metadata": {"total_size": total}, "weight_map": weight_map}, out)
    print(json.dumps({"dir": args.dir, "tensors": len(tensors), "bytes": total, "shards": len(shards)}))


if __name__ == "__main__":
    main()
