"""A real vLLM on the CPU: unchanged weights are pulled, the engine loads weights that it packs, and answers are right.

Needs `CHECKPOINT_ENGINE_VLLM_PYTHON` (a Python with vLLM) and `CHECKPOINT_ENGINE_VLLM_MODELS` (a folder with
`qwen3moe-1` and `qwen3moe-2`: two random models of one form).
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

PYTHON = os.environ.get("CHECKPOINT_ENGINE_VLLM_PYTHON")
MODELS = os.environ.get("CHECKPOINT_ENGINE_VLLM_MODELS")
SOURCES = Path(__file__).parent.parent / "src"


def run(*models: str) -> dict[str, Any]:
    assert PYTHON
    command = [PYTHON, str(Path(__file__).with_name("vllm_pull.py")), *(f"{MODELS}/{name}" for name in models)]
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1200, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert lines, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(lines[-1][len("RESULT ") :])
    return found


@pytest.mark.skipif(not PYTHON or not MODELS, reason="CHECKPOINT_ENGINE_VLLM_PYTHON and _MODELS are not set")
@pytest.mark.parametrize("kind", ["qwen3moe", "qwen3"])
def test_a_pulled_engine_equals_a_new_engine(kind: str) -> None:
    fresh = run(f"{kind}-2")
    found = run(f"{kind}-1", f"{kind}-2")
    assert found["untouched"]
    assert found["tokens_a"] != fresh["tokens_a"]
    assert found["tokens_b"] == fresh["tokens_a"]
    assert found["digests_b"] == fresh["digests_a"]
    direct, staged, opaque = found["counts"]
    assert direct > 0
    assert opaque == 0
    # The CPU backend packs the weights of linear layers: they are never written to.
    assert staged > 0
    assert not [name for name in found["needed"] if name.split(".")[-2] in ("q_proj", "o_proj", "down_proj")]
    assert any(name.endswith("q_proj.weight") for name in found["rest"])
    assert any(name.endswith("layernorm.weight") for name in found["needed"])
    # Plain attention derives nothing from weights, so a pull does not affect it.
    assert found["derived"] == 0
