"""Skips the tests that need torch, numpy or hypothesis with a notice if one of them is missing."""

from __future__ import annotations

from importlib.util import find_spec

_MISSING = [name for name in ("torch", "numpy", "hypothesis") if find_spec(name) is None]

_FILES = [
    "test_loader_*.py",
    "test_pieces.py",
    "test_proof.py",
    "test_pull_*.py",
    "test_recording_*.py",
    "test_trial*.py",
]
collect_ignore_glob = _FILES if _MISSING else []
if {"numpy", "hypothesis"} & set(_MISSING):
    collect_ignore_glob = [*collect_ignore_glob, "test_odd_*.py"]


def pytest_report_header() -> str:
    return f"tests of the recorder and the pull are skipped: {', '.join(_MISSING)} not installed" if _MISSING else ""
