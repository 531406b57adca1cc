"""Prints the answers of a new engine: `python fresh_tokens.py MODEL PROMPTS [OPTIONS]`, the last two in JSON."""

from __future__ import annotations

import json
import os
import sys

os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")

from vllm import LLM, SamplingParams


def main(model: str, prompts: str, options: str = "{}") -> None:
    """Generates greedily from token ids, because the model has no tokenizer."""
    arguments = {"skip_tokenizer_init": True, "enforce_eager": True, "max_model_len": 256, "max_num_seqs": 4}
    engine = LLM(model=model, dtype="bfloat16", **arguments, **json.loads(options))
    sampling = SamplingParams(temperature=0, max_tokens=16, detokenize=False)
    outputs = engine.generate([{"prompt_token_ids": prompt} for prompt in json.loads(prompts)], sampling)
    print("TOKENS", json.dumps([list(output.outputs[0].token_ids) for output in outputs]))


if __name__ == "__main__":
    main(*sys.argv[1:])
