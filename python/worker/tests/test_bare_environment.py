"""The messages for a user who has installed the package without an engine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import checkpoint_engine_worker

SOURCES = Path(checkpoint_engine_worker.__file__).parents[1]
ADDRESS = "ce2:nobody?key=" + "ab" * 32
HIDE = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {hidden!r}:
            raise ModuleNotFoundError(f"No module named '{{name}}'", name=name)
sys.meta_path.insert(0, Hidden())
"""


def run(code: str, *hidden: str) -> str:
    """Runs code in a process that finds none of the hidden modules."""
    program = HIDE.format(hidden=hidden) + code
    env = {**os.environ, "PYTHONPATH": str(SOURCES)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=env, timeout=60)
    return done.stdout + done.stderr


def test_reports_that_torch_is_missing() -> None:
    out = run("from checkpoint_engine_worker.tensors.dtypes import torch_dtype; torch_dtype('w', 'BF16')", "torch")
    assert "CE_PACKAGE_NOT_FOUND: torch cannot be imported" in out
    assert "into the environment of the inference engine" in out


def test_reports_that_no_codec_is_installed() -> None:
    out = run("from checkpoint_engine_worker.protocol import codec; codec.encode({})", "msgspec", "msgpack")
    assert "Neither msgspec nor msgpack is installed" in out
    assert "pip install" in out


@pytest.mark.parametrize(
    "module", ["vllm_plugin", "vllm_extension", "sglang_plugin", "session.update_session", "receiver"]
)
def test_every_entry_can_be_imported_without_torch_and_engines(module: str) -> None:
    out = run(f"import checkpoint_engine_worker.{module}; print('fine')", "torch", "vllm", "sglang", "msgspec")
    assert out.strip() == "fine"


def test_registering_with_an_engine_that_is_too_old_only_logs() -> None:
    out = run("from checkpoint_engine_worker.vllm_plugin import register; register(); print('fine')", "vllm")
    assert out.strip() == "fine"


def test_uses_msgpack_if_msgspec_is_missing() -> None:
    pytest.importorskip("msgpack")
    use = "print(codec.decode(codec.encode({'type': 'x', 'b': b'1'})))"
    code = f"from checkpoint_engine_worker.protocol import codec; {use}"
    assert run(code, "msgspec").strip() == "{'type': 'x', 'b': b'1'}"
