"""The digests agree with the published vectors, and the kernels with the reference."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkpoint_engine_worker.digest import WORD_KEYS, digest_bytes, digest_rows
from checkpoint_engine_worker.digest.host import host_digests

VECTORS = json.loads(
    (Path(__file__).parents[3] / "packages/interface/test-vectors/digests.json").read_text(encoding="utf-8")
)


def fill(size: int) -> Any:
    places = np.arange(size)
    return ((places * 31 + places // 251) % 256).astype(np.uint8)


def text(digest: int) -> str:
    return f"{digest:016x}"


def test_word_keys_differ() -> None:
    assert len(set(WORD_KEYS.tolist())) == len(WORD_KEYS)


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda vector: vector["name"])
def test_vectors(vector: dict[str, Any]) -> None:
    data = np.frombuffer(bytes.fromhex(vector["bytes"]), dtype=np.uint8)
    assert text(digest_bytes(data, vector["positionBytes"])) == vector["digest"]


@pytest.mark.parametrize("vector", VECTORS["filled"]["vectors"], ids=lambda vector: str(vector["sizeBytes"]))
def test_filled_vectors(vector: dict[str, Any]) -> None:
    assert text(digest_bytes(fill(vector["sizeBytes"]), vector["positionBytes"])) == vector["digest"]


@pytest.mark.parametrize("box", VECTORS["boxes"]["vectors"], ids=lambda box: f"{box['rows']}x{box['rowBytes']}")
def test_boxes(box: dict[str, Any]) -> None:
    tensor = fill(VECTORS["boxes"]["tensorBytes"])
    table = np.array(
        [
            [
                box["offsetBytes"],
                tensor.ctypes.data + box["offsetBytes"],
                box["rows"],
                box["rowBytes"],
                box["pitchBytes"],
                box["pitchBytes"],
            ]
        ],
        dtype=np.int64,
    )
    assert text(int(host_digests(table, np.zeros(1, dtype=np.int64), 1)[0])) == box["digest"]


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 12),
    width=st.integers(1, 9000),
    gap=st.integers(0, 64),
    position=st.integers(0, 20_000),
)
def test_rows_are_the_sum_of_runs(rows: int, width: int, gap: int, position: int) -> None:
    data = np.random.default_rng(rows * width).integers(0, 256, (rows, width), dtype=np.uint8)
    pitch = width + gap
    parts = [digest_bytes(data[row], position + row * pitch) for row in range(rows)]
    assert digest_rows(data, position, pitch) == sum(parts) % 2**64


def test_sums_are_independent() -> None:
    data = fill(3_000_000)
    table = np.array([[0, data.ctypes.data, 1, 3_000_000, 0, 0], [7, data.ctypes.data, 1, 999, 0, 0]], dtype=np.int64)
    sums = host_digests(table, np.array([2, 0], dtype=np.int64), 3)
    assert sums.tolist() == [digest_bytes(data[:999], 7), 0, digest_bytes(data)]


def test_kernels_agree_with_the_reference() -> None:
    """In Triton's interpreter, which runs them on the processor."""
    pytest.importorskip("triton")
    pytest.importorskip("torch")
    check = Path(__file__).with_name("digest_kernel_check.py")
    sources = str(Path(__file__).parent.parent / "src")
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": sources}
    ended = subprocess.run(
        [sys.executable, str(check), "cpu"], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert "all equal" in ended.stdout


def test_ctypes_views_are_not_copied() -> None:
    memory = (ctypes.c_uint8 * 8)(*range(8))
    table = np.array([[0, ctypes.addressof(memory), 1, 8, 0, 0]], dtype=np.int64)
    assert int(host_digests(table, np.zeros(1, dtype=np.int64), 1)[0]) == digest_bytes(np.arange(8, dtype=np.uint8))
