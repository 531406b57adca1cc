"""Writes two causal language models of equal shape with different random weights: DIR/a and DIR/b.

usage: make_lm.py --dir DIR
"""

import argparse
import os

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", required=True)
    args = parser.parse_args()
    config = Qwen3Config(
        vocab_size=32000,
        hidden_size=1024,
        intermediate_size=3072,
        num_hidden_layers=8,
        num_attention_heads=16,
        num_key_value_heads=8,
        head_dim=64,
        tie_word_embeddings=False,
    )
    for seed, name in enumerate("ab"):
        torch.manual_seed(seed)
        model = Qwen3ForCausalLM(config).to(torch.bfloat16)
        model.save_pretrained(os.path.join(args.dir, name), max_shard_size="100MB")


if __name__ == "__main__":
    main()
