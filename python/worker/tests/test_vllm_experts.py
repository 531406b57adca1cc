"""Two ranks of a real vLLM divide experts: each pulls the experts that it keeps, and no others.

Needs the same environment as `test_vllm_pull.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from test_vllm_pull import MODELS, PYTHON, SOURCES


@pytest.mark.skipif(not PYTHON or not MODELS, reason="CHECKPOINT_ENGINE_VLLM_PYTHON and _MODELS are not set")
def test_each_rank_pulls_its_own_experts(tmp_path: Path) -> None:
    script = str(Path(__file__).with_name("vllm_experts.py"))
    models = [f"{MODELS}/qwen3moe-{number}" for number in (1, 2)]
    environment = {**os.environ, "PYTHONPATH": str(SOURCES), "OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen(
            [PYTHON or "", script, *models, str(rank), str(tmp_path / "group")],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    try:
        answers = [rank.communicate(timeout=1200) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    kept = []
    for stdout, stderr in answers:
        lines = [line for line in stdout.splitlines() if line.startswith("RESULT ")]
        assert lines, stderr[-4000:]
        found = json.loads(lines[-1][len("RESULT ") :])
        for way in found["ways"]:
            assert way["untouched"]
            assert way["right"] == [True] * 4
            assert way["counts"][1:] == [0, 0]
            assert way["bytes"] < found["all_bytes"] * 0.6
        first, second = (way["experts"] for way in found["ways"])
        assert first == second
        kept.append(set(first))
    assert not kept[0] & kept[1]
    assert len(kept[0]) == len(kept[1]) > 0
