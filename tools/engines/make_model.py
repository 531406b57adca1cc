"""Writes a tiny checkpoint with random weights: `python make_model.py KIND SEED FOLDER`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config, Qwen3MoeConfig

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

KINDS = ("qwen3", "qwen3-tied", "qwen3-odd", "qwen3-moe", "qwen3-draft", "qwen3-eagle3", "mimo", "mimo-plain")

#: vLLM pads the rows of a vocabulary to a multiple of 64.
ODD = {**COMMON, "vocab_size": 2011}


def config_of(kind: str) -> Qwen2Config | Qwen3Config | Qwen3MoeConfig:
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
    if kind == "qwen3-draft":
        return Qwen3Config(num_hidden_layers=1, **COMMON)
    if kind in ("mimo", "mimo-plain"):
        return Qwen2Config(num_hidden_layers=2, **COMMON)
    raise SystemExit(f"Unknown model {kind}: choose one of {', '.join(KINDS)}")


def main(kind: str, seed: str, folder: str) -> None:
    """Creates the checkpoint. Weights vary enough that two seeds produce different tokens."""
    torch.manual_seed(int(seed))
    if kind == "qwen3-eagle3":
        write_eagle(Path(folder))
        return
    model = AutoModelForCausalLM.from_config(config_of(kind), dtype=torch.bfloat16)
    with torch.no_grad():
        for parameter in model.parameters():
            randomize(parameter)
    # Several files, as in large checkpoints.
    model.save_pretrained(folder, max_shard_size="2MB")
    if kind == "mimo":
        add_predictor(Path(folder), model.model.layers[0])


def randomize(parameter: torch.Tensor) -> None:
    """Fills a weight, or the scale of a norm, with random values."""
    if parameter.dim() > 1:
        parameter.normal_(0, 0.05)
    else:
        parameter.uniform_(0.5, 1.5)


def write_eagle(folder: Path) -> None:
    """Writes a head of EAGLE-3 for the model `qwen3`, which has the embedding of that model."""
    size, inner, heads = COMMON["hidden_size"], COMMON["intermediate_size"], COMMON["head_dim"]
    queries, keys = COMMON["num_attention_heads"] * heads, COMMON["num_key_value_heads"] * heads
    shapes = {
        # Its first layer takes the embedding and a hidden state.
        **{f"midlayer.self_attn.{name}_proj.weight": (queries if name == "q" else keys, 2 * size) for name in "qkv"},
        "midlayer.self_attn.o_proj.weight": (size, queries),
        "midlayer.mlp.gate_proj.weight": (inner, size),
        "midlayer.mlp.up_proj.weight": (inner, size),
        "midlayer.mlp.down_proj.weight": (size, inner),
        **{f"midlayer.{name}.weight": (size,) for name in ("input_layernorm", "hidden_norm", "post_attention_layernorm")},
        "fc.weight": (size, 3 * size),
        "norm.weight": (size,),
        "lm_head.weight": (COMMON["vocab_size"], size),
    }
    tensors = {name: torch.empty(shape, dtype=torch.bfloat16) for name, shape in shapes.items()}
    for tensor in tensors.values():
        randomize(tensor)
    config = LlamaConfig(num_hidden_layers=1, architectures=["LlamaForCausalLMEagle3"], dtype="bfloat16", **COMMON)
    # Hidden states of the target, by layer.
    config.update({"draft_vocab_size": COMMON["vocab_size"], "eagle_aux_hidden_state_layer_ids": [1, 2, 3]})
    config.save_pretrained(folder)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def add_predictor(folder: Path, layer: torch.nn.Module) -> None:
    """Converts a model of Qwen2 to MiMo, whose checkpoint has an additional layer that predicts one more token."""
    size = COMMON["hidden_size"]
    shapes = {name: tuple(parameter.shape) for name, parameter in layer.named_parameters()}
    shapes.update({f"{name}.weight": (size,) for name in ("token_layernorm", "hidden_layernorm", "final_layernorm")})
    shapes["input_proj.weight"] = (size, 2 * size)
    tensors = {f"model.mtp_layers.0.{name}": torch.empty(shape, dtype=torch.bfloat16) for name, shape in shapes.items()}
    for tensor in tensors.values():
        randomize(tensor)
    file = "predictor.safetensors"
    save_file(tensors, folder / file, metadata={"format": "pt"})
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    index["weight_map"].update(dict.fromkeys(tensors, file))
    index["metadata"]["total_size"] += sum(tensor.nbytes for tensor in tensors.values())
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    config = json.loads((folder / "config.json").read_text())
    config.update(architectures=["MiMoForCausalLM"], num_nextn_predict_layers=1)
    (folder / "config.json").write_text(json.dumps(config))


if __name__ == "__main__":
    main(*sys.argv[1:])
