"""Writes a random checkpoint of a model that vLLM knows, with its config: the same bytes for the same seed and device.

usage: make_model.py KIND SEED OUT [--layers N] [--tiny]

KIND: qwen3 (Qwen3-8B's shapes, 36 layers), qwen3-moe (Qwen3-30B-A3B's, 12 layers), qwen3-fp8 and deepseek-v3-fp8 (small,
block-quantized). With --tiny all of them fit a CPU. OUT.config gets the config alone, for --load-format dummy.
"""

import argparse
import json
import os

import torch
from safetensors.torch import save_file

SHARD_BYTES = 2 << 30


class Checkpoint:
    def __init__(self, out: str, seed: int):
        self.out = out
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.generator = torch.Generator(self.device).manual_seed(seed)
        self.shard, self.shard_bytes, self.shards, self.total_bytes = {}, 0, 0, 0
        self.index: dict[str, str] = {}
        os.makedirs(out, exist_ok=True)

    def put(self, name: str, tensor: torch.Tensor) -> None:
        self.shard[name] = tensor
        self.shard_bytes += tensor.nbytes
        self.total_bytes += tensor.nbytes
        if self.shard_bytes > SHARD_BYTES:
            self.flush()

    def flush(self) -> None:
        if not self.shard:
            return
        self.shards += 1
        file = f"model-{self.shards:05d}.safetensors"
        tensors = {name: tensor.cpu().contiguous() for name, tensor in self.shard.items()}
        save_file(tensors, f"{self.out}/{file}", metadata={"format": "pt"})
        self.index.update(dict.fromkeys(tensors, file))
        self.shard, self.shard_bytes = {}, 0

    def bf16(self, name: str, *shape: int) -> None:
        values = torch.randn(*shape, device=self.device, dtype=torch.bfloat16, generator=self.generator)
        self.put(f"{name}.weight", values * 0.02)

    def norm(self, name: str, size: int) -> None:
        values = torch.rand(size, device=self.device, generator=self.generator)
        self.put(f"{name}.weight", (values * 0.5 + 0.75).to(torch.bfloat16))

    def fp8(self, name: str, out: int, into: int) -> None:
        values = torch.randn(out, into, device=self.device, generator=self.generator) * 20
        self.put(f"{name}.weight", values.clamp(-400, 400).to(torch.float8_e4m3fn))
        blocks = (-(-out // 128), -(-into // 128))
        scales = torch.rand(*blocks, device=self.device, generator=self.generator)
        self.put(f"{name}.weight_scale_inv", (scales * 0.5 + 0.75) * 0.0015)

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


def deepseek_v3(checkpoint: Checkpoint, layers: int) -> dict:
    hidden, inner, width, vocabulary, heads, experts, q_rank, kv_rank = 1024, 2048, 256, 32768, 16, 16, 256, 512
    linear = checkpoint.fp8
    checkpoint.bf16("model.embed_tokens", vocabulary, hidden)
    for index in range(layers):
        layer = f"model.layers.{index}"
        checkpoint.norm(f"{layer}.input_layernorm", hidden)
        checkpoint.norm(f"{layer}.post_attention_layernorm", hidden)
        attention = f"{layer}.self_attn"
        linear(f"{attention}.q_a_proj", q_rank, hidden)
        checkpoint.norm(f"{attention}.q_a_layernorm", q_rank)
        linear(f"{attention}.q_b_proj", heads * 192, q_rank)
        linear(f"{attention}.kv_a_proj_with_mqa", kv_rank + 64, hidden)
        checkpoint.norm(f"{attention}.kv_a_layernorm", kv_rank)
        linear(f"{attention}.kv_b_proj", heads * 256, kv_rank)
        linear(f"{attention}.o_proj", hidden, heads * 128)
        mlps = [(f"{layer}.mlp", inner)]
        if index > 0:
            checkpoint.bf16(f"{layer}.mlp.gate", experts, hidden)
            bias = torch.rand(experts, device=checkpoint.device, generator=checkpoint.generator) * 0.1
            checkpoint.put(f"{layer}.mlp.gate.e_score_correction_bias", bias)
            mlps = [(f"{layer}.mlp.experts.{expert}", width) for expert in range(experts)]
            mlps.append((f"{layer}.mlp.shared_experts", width))
        for mlp, size in mlps:
            linear(f"{mlp}.gate_proj", size, hidden)
            linear(f"{mlp}.up_proj", size, hidden)
            linear(f"{mlp}.down_proj", hidden, size)
    checkpoint.norm("model.norm", hidden)
    checkpoint.bf16("lm_head", vocabulary, hidden)
    return dict(
        COMMON,
        architectures=["DeepseekV3ForCausalLM"],
        model_type="deepseek_v3",
        hidden_size=hidden,
        intermediate_size=inner,
        moe_intermediate_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        vocab_size=vocabulary,
        n_routed_experts=experts,
        n_shared_experts=1,
        num_experts_per_tok=4,
        n_group=4,
        topk_group=2,
        topk_method="noaux_tc",
        scoring_func="sigmoid",
        norm_topk_prob=True,
        routed_scaling_factor=2.5,
        first_k_dense_replace=1,
        moe_layer_freq=1,
        q_lora_rank=q_rank,
        kv_lora_rank=kv_rank,
        qk_nope_head_dim=128,
        qk_rope_head_dim=64,
        v_head_dim=128,
        rope_theta=1e4,
        num_nextn_predict_layers=0,
        ep_size=1,
        aux_loss_alpha=0.001,
        seq_aux=True,
        quantization_config=QUANTIZED,
    )


LAYERS = {"qwen3": 36, "qwen3-moe": 12, "qwen3-fp8": 8, "deepseek-v3-fp8": 4}


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
    if options.kind == "deepseek-v3-fp8":
        config = deepseek_v3(checkpoint, layers)
    else:
        config = qwen3(checkpoint, layers, options.tiny, "moe" in options.kind, "fp8" in options.kind)
    checkpoint.end(config)


if __name__ == "__main__":
    main()
