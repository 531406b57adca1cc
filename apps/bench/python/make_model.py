"""Writes a random checkpoint of a model that vLLM knows, with its config: the same bytes for the same seed and device.

usage: make_model.py KIND SEED OUT [--layers N] [--tiny]

KIND:
    qwen3             Qwen3-8B's shapes, 36 layers, 15.3 GiB
    qwen3-moe         Qwen3-30B-A3B's shapes, 12 layers, 15.1 GiB
    qwen3-fp8         block-quantized, small
    deepseek-v3-fp8   MLA and experts, block-quantized, small
    kimi-k2           the 139,583 tensors of Kimi-K2, block-quantized, with smaller shapes, 8.9 GiB
    kimi-k2-bf16      the same architecture in BF16, with 121 layers, so that it has as many tensors, 9.3 GiB

With --tiny all of them fit a CPU. OUT.config gets the config alone, for --load-format dummy.
"""

import argparse
import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

SHARD_BYTES = 2 << 30
CHUNK = 1 << 26  # numbers created at a time, which bounds the memory


@dataclass(frozen=True)
class Sort:
    """The distribution of a tensor's numbers."""

    dtype: str
    item_bytes: int
    make: Callable[[int, "torch.Generator"], torch.Tensor]


def uniform(count: int, generator: torch.Generator, low: float, high: float) -> torch.Tensor:
    return torch.rand(count, device=generator.device, generator=generator) * (high - low) + low


def normal(count: int, generator: torch.Generator) -> torch.Tensor:
    return torch.randn(count, device=generator.device, generator=generator)


# In the order of the shard, so that every tensor begins at a multiple of its element's size.
SORTS = {
    "scale": Sort("F32", 4, lambda count, generator: uniform(count, generator, 0.75, 1.25) * 0.0015),
    "bias": Sort("F32", 4, lambda count, generator: uniform(count, generator, 0, 0.1)),
    "weight": Sort("BF16", 2, lambda count, generator: (normal(count, generator) * 0.02).to(torch.bfloat16)),
    "norm": Sort("BF16", 2, lambda count, generator: uniform(count, generator, 0.75, 1.25).to(torch.bfloat16)),
    "fp8": Sort(
        "F8_E4M3",
        1,
        lambda count, generator: (normal(count, generator) * 20).clamp_(-400, 400).to(torch.float8_e4m3fn),
    ),
}


class Checkpoint:
    """Collects tensors and creates them for a whole shard at once: a list of 100,000 takes seconds."""

    def __init__(self, out: str, seed: int):
        self.out = out
        self.generator = torch.Generator("cuda" if torch.cuda.is_available() else "cpu").manual_seed(seed)
        self.shard: dict[str, list[tuple[str, tuple[int, ...]]]] = {sort: [] for sort in SORTS}
        self.shard_bytes, self.shards, self.total_bytes = 0, 0, 0
        self.index: dict[str, str] = {}
        os.makedirs(out, exist_ok=True)

    def put(self, name: str, sort: str, *shape: int) -> None:
        size = math.prod(shape) * SORTS[sort].item_bytes
        self.shard[sort].append((name, shape))
        self.shard_bytes += size
        self.total_bytes += size
        if self.shard_bytes > SHARD_BYTES:
            self.flush()

    def flush(self) -> None:
        if self.shard_bytes == 0:
            return
        self.shards += 1
        file = f"model-{self.shards:05d}.safetensors"
        header: dict[str, dict] = {"__metadata__": {"format": "pt"}}
        end = 0
        for sort, tensors in self.shard.items():
            for name, shape in tensors:
                start, end = end, end + math.prod(shape) * SORTS[sort].item_bytes
                header[name] = {"dtype": SORTS[sort].dtype, "shape": shape, "data_offsets": [start, end]}
                self.index[name] = file
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with open(f"{self.out}/{file}", "wb") as written:
            written.write(len(text).to_bytes(8, "little") + text)
            for sort, tensors in self.shard.items():
                left = sum(math.prod(shape) for _, shape in tensors)
                while left > 0:
                    count = min(left, CHUNK)
                    made = SORTS[sort].make(count, self.generator)
                    written.write(made.cpu().view(torch.uint8).numpy())
                    left -= count
        self.shard = {sort: [] for sort in SORTS}
        self.shard_bytes = 0

    def bf16(self, name: str, *shape: int) -> None:
        self.put(f"{name}.weight", "weight", *shape)

    def norm(self, name: str, size: int) -> None:
        self.put(f"{name}.weight", "norm", size)

    def fp8(self, name: str, out: int, into: int) -> None:
        self.put(f"{name}.weight", "fp8", out, into)
        self.put(f"{name}.weight_scale_inv", "scale", -(-out // 128), -(-into // 128))

    def end(self, config: dict) -> None:
        self.flush()
        index = {"metadata": {"total_size": self.total_bytes}, "weight_map": self.index}
        with open(f"{self.out}/model.safetensors.index.json", "w") as file:
            json.dump(index, file)
        os.makedirs(f"{self.out}.config", exist_ok=True)
        for folder in (self.out, f"{self.out}.config"):
            with open(f"{folder}/config.json", "w") as file:
                json.dump(config, file)
        print(f"{self.out}: {len(self.index)} tensors, {self.total_bytes / 2**30:.2f} GiB", flush=True)


COMMON = dict(
    max_position_embeddings=4096,
    rms_norm_eps=1e-6,
    hidden_act="silu",
    tie_word_embeddings=False,
    torch_dtype="bfloat16",
    attention_bias=False,
    bos_token_id=1,
    eos_token_id=2,
)
QUANTIZED = dict(quant_method="fp8", activation_scheme="dynamic", fmt="e4m3", weight_block_size=[128, 128])


def qwen3(checkpoint: Checkpoint, layers: int, tiny: bool, is_moe: bool, is_fp8: bool) -> dict:
    hidden, inner, vocabulary, heads, kv_heads, head, experts, expert_inner = (4096, 12288, 151936, 32, 8, 128, 128, 768)
    if is_moe:
        hidden, inner, kv_heads = 2048, 6144, 4
    if is_fp8:
        hidden, inner, vocabulary, heads = 2048, 6144, 32768, 16
    if tiny:
        hidden, inner, vocabulary, heads, kv_heads, head, experts, expert_inner = 256, 512, 2048, 4, 2, 64, 8, 128
    linear = checkpoint.fp8 if is_fp8 else checkpoint.bf16
    checkpoint.bf16("model.embed_tokens", vocabulary, hidden)
    for index in range(layers):
        layer = f"model.layers.{index}"
        checkpoint.norm(f"{layer}.input_layernorm", hidden)
        checkpoint.norm(f"{layer}.post_attention_layernorm", hidden)
        attention = f"{layer}.self_attn"
        linear(f"{attention}.q_proj", heads * head, hidden)
        linear(f"{attention}.k_proj", kv_heads * head, hidden)
        linear(f"{attention}.v_proj", kv_heads * head, hidden)
        linear(f"{attention}.o_proj", hidden, heads * head)
        checkpoint.norm(f"{attention}.q_norm", head)
        checkpoint.norm(f"{attention}.k_norm", head)
        if is_moe:
            checkpoint.bf16(f"{layer}.mlp.gate", experts, hidden)
        mlps = [(f"{layer}.mlp.experts.{expert}", expert_inner) for expert in range(experts)] if is_moe else [(f"{layer}.mlp", inner)]
        for mlp, width in mlps:
            linear(f"{mlp}.gate_proj", width, hidden)
            linear(f"{mlp}.up_proj", width, hidden)
            linear(f"{mlp}.down_proj", hidden, width)
    checkpoint.norm("model.norm", hidden)
    checkpoint.bf16("lm_head", vocabulary, hidden)
    config = dict(
        COMMON,
        architectures=["Qwen3MoeForCausalLM" if is_moe else "Qwen3ForCausalLM"],
        model_type="qwen3_moe" if is_moe else "qwen3",
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=head,
        vocab_size=vocabulary,
        rope_theta=1e6,
    )
    if is_moe:
        config.update(
            num_experts=experts,
            num_experts_per_tok=min(8, experts // 2),
            moe_intermediate_size=expert_inner,
            norm_topk_prob=True,
            decoder_sparse_step=1,
            mlp_only_layers=[],
        )
    return config | (dict(quantization_config=QUANTIZED) if is_fp8 else {})


@dataclass(frozen=True)
class DeepSeek:
    """Sizes of a model of DeepSeek-V3's architecture. The sizes of attention heads are those of DeepSeek-V3."""

    hidden: int
    inner: int
    width: int
    vocabulary: int
    experts: int
    groups: int
    chosen_groups: int
    chosen: int
    is_fp8: bool
    heads: int = 16
    q_rank: int = 256
    kv_rank: int = 512
    nope: int = 128
    rope: int = 64
    value: int = 128


DEEPSEEK = {
    "deepseek-v3-fp8": DeepSeek(1024, 2048, 256, 32768, 16, 4, 2, 4, True),
    # An expert has a block of 128 for each of four tensor-parallel ranks.
    "kimi-k2": DeepSeek(256, 2048, 512, 163840, 384, 1, 1, 8, True),
    "kimi-k2-bf16": DeepSeek(128, 1024, 256, 163840, 384, 1, 1, 8, False),
}


def tiny_deepseek(sizes: DeepSeek) -> DeepSeek:
    return replace(
        sizes, hidden=128, inner=256, width=128, vocabulary=512, heads=4, q_rank=128, kv_rank=128, nope=64, value=64
    )


def deepseek_v3(checkpoint: Checkpoint, layers: int, sizes: DeepSeek) -> dict:
    hidden, heads = sizes.hidden, sizes.heads
    linear = checkpoint.fp8 if sizes.is_fp8 else checkpoint.bf16
    checkpoint.bf16("model.embed_tokens", sizes.vocabulary, hidden)
    for index in range(layers):
        layer = f"model.layers.{index}"
        checkpoint.norm(f"{layer}.input_layernorm", hidden)
        checkpoint.norm(f"{layer}.post_attention_layernorm", hidden)
        attention = f"{layer}.self_attn"
        linear(f"{attention}.q_a_proj", sizes.q_rank, hidden)
        checkpoint.norm(f"{attention}.q_a_layernorm", sizes.q_rank)
        linear(f"{attention}.q_b_proj", heads * (sizes.nope + sizes.rope), sizes.q_rank)
        linear(f"{attention}.kv_a_proj_with_mqa", sizes.kv_rank + sizes.rope, hidden)
        checkpoint.norm(f"{attention}.kv_a_layernorm", sizes.kv_rank)
        linear(f"{attention}.kv_b_proj", heads * (sizes.nope + sizes.value), sizes.kv_rank)
        linear(f"{attention}.o_proj", hidden, heads * sizes.value)
        mlps = [(f"{layer}.mlp", sizes.inner)]
        if index > 0:
            checkpoint.bf16(f"{layer}.mlp.gate", sizes.experts, hidden)
            checkpoint.put(f"{layer}.mlp.gate.e_score_correction_bias", "bias", sizes.experts)
            mlps = [(f"{layer}.mlp.experts.{expert}", sizes.width) for expert in range(sizes.experts)]
            mlps.append((f"{layer}.mlp.shared_experts", sizes.width))
        for mlp, size in mlps:
            linear(f"{mlp}.gate_proj", size, hidden)
            linear(f"{mlp}.up_proj", size, hidden)
            linear(f"{mlp}.down_proj", hidden, size)
    checkpoint.norm("model.norm", hidden)
    checkpoint.bf16("lm_head", sizes.vocabulary, hidden)
    config = dict(
        COMMON,
        architectures=["DeepseekV3ForCausalLM"],
        model_type="deepseek_v3",
        hidden_size=hidden,
        intermediate_size=sizes.inner,
        moe_intermediate_size=sizes.width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        vocab_size=sizes.vocabulary,
        n_routed_experts=sizes.experts,
        n_shared_experts=1,
        num_experts_per_tok=sizes.chosen,
        n_group=sizes.groups,
        topk_group=sizes.chosen_groups,
        topk_method="noaux_tc",
        scoring_func="sigmoid",
        norm_topk_prob=True,
        routed_scaling_factor=2.5,
        first_k_dense_replace=1,
        moe_layer_freq=1,
        q_lora_rank=sizes.q_rank,
        kv_lora_rank=sizes.kv_rank,
        qk_nope_head_dim=sizes.nope,
        qk_rope_head_dim=sizes.rope,
        v_head_dim=sizes.value,
        rope_theta=1e4,
        num_nextn_predict_layers=0,
        ep_size=1,
        aux_loss_alpha=0.001,
        seq_aux=True,
    )
    return config | (dict(quantization_config=QUANTIZED) if sizes.is_fp8 else {})


LAYERS = {"qwen3": 36, "qwen3-moe": 12, "qwen3-fp8": 8, "deepseek-v3-fp8": 4, "kimi-k2": 61, "kimi-k2-bf16": 121}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=LAYERS)
    parser.add_argument("seed", type=int)
    parser.add_argument("out")
    parser.add_argument("--layers", type=int)
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    layers = options.layers or (3 if options.tiny else LAYERS[options.kind])
    checkpoint = Checkpoint(options.out.rstrip("/"), options.seed)
    sizes = DEEPSEEK.get(options.kind)
    if sizes is not None:
        config = deepseek_v3(checkpoint, layers, tiny_deepseek(sizes) if options.tiny else sizes)
    else:
        config = qwen3(checkpoint, layers, options.tiny, "moe" in options.kind, "fp8" in options.kind)
    checkpoint.end(config)


if __name__ == "__main__":
    main()
