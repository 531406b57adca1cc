"""Writes a tiny checkpoint with random weights: `python make_model.py KIND SEED FOLDER`."""

from __future__ import annotations

import sys

import torch
from transformers import AutoModelForCausalLM, Qwen3Config, Qwen3MoeConfig

COMMON = {
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "vocab_size": 2048,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": False,
}

#: vLLM pads the rows of a vocabulary to a multiple of 64.
ODD = {**COMMON, "vocab_size": 2011}


def config_of(kind: str) -> Qwen3Config | Qwen3MoeConfig:
    """The configuration of a model."""
    if kind == "qwen3":
        return Qwen3Config(num_hidden_layers=4, **COMMON)
    if kind == "qwen3-tied":
        return Qwen3Config(num_hidden_layers=3, **{**ODD, "tie_word_embeddings": True})
    if kind == "qwen3-odd":
        return Qwen3Config(num_hidden_layers=3, **ODD)
    if kind == "qwen3-moe":
        return Qwen3MoeConfig(
            num_hidden_layers=3, moe_intermediate_size=128, num_experts=8, num_experts_per_tok=2, **COMMON
        )
    raise SystemExit(f"There is no model {kind}: choose qwen3, qwen3-tied, qwen3-odd or qwen3-moe")


def main(kind: str, seed: str, folder: str) -> None:
    """Makes the checkpoint. Weights are wide enough that two seeds answer with different tokens."""
    torch.manual_seed(int(seed))
    model = AutoModelForCausalLM.from_config(config_of(kind), dtype=torch.bfloat16)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.05)
            else:
                parameter.uniform_(0.5, 1.5)
    # Several files, as large checkpoints have.
    model.save_pretrained(folder, max_shard_size="2MB")


if __name__ == "__main__":
    main(*sys.argv[1:])
