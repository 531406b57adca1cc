"""Runs an engine's loader on fakes, and repeats the run without the tensors that it cannot handle. Imports torch."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from checkpoint_engine_worker.engine import Engine
from checkpoint_engine_worker.pull_types import TensorMeta
from checkpoint_engine_worker.recorder.fake_weights import FakeWeight
from checkpoint_engine_worker.recorder.loader_trace import LoaderTrace, ValuesNeededError
from checkpoint_engine_worker.recorder.module_state import ModuleState
from checkpoint_engine_worker.tensors.tensor_map import TensorMap
from checkpoint_engine_worker.tensors.torch_dtypes import torch_dtype

#: The reason of an owner that the loader replaced.
REPLACED = "its loader replaces a parameter"

_NUMBER = re.compile(r"\d+")


def pattern_of(name: str) -> str:
    """Returns the name without its numbers: a failure of one layer or expert applies to all."""
    return _NUMBER.sub("*", name)


def observe(
    engine: Engine,
    known: TensorMap,
    tensors: Sequence[TensorMeta],
    indices: Sequence[int],
    refused: dict[str, str],
) -> list[LoaderTrace]:
    """Returns traces of the loader on these tensors. Adds patterns that it cannot handle to `refused`, with reasons."""
    for i in indices:
        if torch_dtype(tensors[i].dtype) is None:
            refused.setdefault(pattern_of(tensors[i].name), f"the recorder has no type for {tensors[i].dtype}")
    while True:
        wanted = [i for i in indices if pattern_of(tensors[i].name) not in refused]
        trace = LoaderTrace(known, engine.device)
        error = _run(engine, trace, tensors, wanted)
        if error is None:
            _forget_kept(trace)
            return [trace]
        patterns = list(dict.fromkeys(pattern_of(tensors[i].name) for i in wanted))
        suspects = _suspects(error, trace, tensors, wanted)
        reason = f"its loader fails without values: {_short(error)}"
        error.__traceback__ = None
        del error
        _forget_kept(trace)
        if suspects:
            for i in suspects:
                refused.setdefault(pattern_of(tensors[i].name), trace.tensor_reasons.get(i, reason))
        elif len(patterns) == 1:
            refused[patterns[0]] = reason
        elif not patterns:
            return []
        else:
            half = set(patterns[: len(patterns) // 2])
            parts = ([i for i in wanted if (pattern_of(tensors[i].name) in half) == first] for first in (True, False))
            return [found for part in parts for found in observe(engine, known, tensors, part, refused)]


def _run(engine: Engine, trace: LoaderTrace, tensors: Sequence[TensorMeta], indices: list[int]) -> Exception | None:
    weights = [(tensors[i].name, trace.fake(i, tensors[i].shape, torch_dtype(tensors[i].dtype))) for i in indices]
    try:
        with _unchanged(engine, trace):
            with trace.watching():
                engine.load_weights(weights)
            del weights
            _note_kept(trace)
    except Exception as error:
        return error
    return None


def _suspects(
    error: Exception, trace: LoaderTrace, tensors: Sequence[TensorMeta], indices: list[int]
) -> tuple[int, ...]:
    """Returns the tensors that the loader processed when it failed, from the variables of its frames."""
    if isinstance(error, ValuesNeededError):
        return trace.last_tensors
    names = {tensors[i].name: i for i in indices}
    frames = list(_frames(error.__traceback__))
    for variables in reversed(frames[2:]):
        for value in variables.values():
            if isinstance(value, FakeWeight) and value.origin.tensors:
                return value.origin.tensors
        for value in variables.values():
            if isinstance(value, str) and value in names:
                return (names[value],)
    return ()


def _frames(traceback: TracebackType | None) -> Iterator[dict[str, Any]]:
    while traceback is not None:
        yield traceback.tb_frame.f_locals
        traceback = traceback.tb_next


def _short(error: Exception) -> str:
    text = f"{type(error).__name__}: {error}".splitlines()[0]
    return text if len(text) <= 160 else f"{text[:157]}..."


def _note_kept(trace: LoaderTrace) -> None:
    """Records tensors that the loader still holds: as a parameter, as an attribute, or for a later call."""
    if not any(ref() is not None for ref, _ in trace.alive):
        return
    gc.collect()
    for ref, kept_tensors in trace.alive:
        if ref() is not None:
            for tensor in kept_tensors:
                trace.tensor_reasons.setdefault(tensor, "its loader keeps it beyond the call")


def _forget_kept(trace: LoaderTrace) -> None:
    """Removes tensors without bytes from objects that hold them, because a later call of the loader would find them."""
    if not any(ref() is not None for ref, _ in trace.alive):
        return
    gc.collect()
    for ref, _ in trace.alive:
        fake = ref()
        if fake is None:
            continue
        for holder in gc.get_referrers(fake):
            if isinstance(holder, (tuple, set, frozenset)):
                for outer in gc.get_referrers(holder):
                    _take_out(outer, holder)
            else:
                _take_out(holder, fake)


def _take_out(holder: Any, value: Any) -> None:
    if isinstance(holder, list):
        holder[:] = [item for item in holder if item is not value]
        return
    table = holder if isinstance(holder, dict) else getattr(holder, "__dict__", None)
    if isinstance(table, dict) and not isinstance(holder, type):
        for key in [key for key, item in table.items() if item is value]:
            del table[key]


@contextmanager
def _unchanged(engine: Engine, trace: LoaderTrace) -> Iterator[None]:
    """Restores parameters, buffers and attributes that the loader replaced, and records them."""
    replaced: list[str] = []
    try:
        with kept_as_it_is(engine, replaced):
            yield
    finally:
        for path in replaced:
            owner = trace.tensors.by_path.get(path)
            if owner is not None:
                trace.owner_reasons.setdefault(owner, REPLACED)


@contextmanager
def kept_as_it_is(engine: Engine, replaced: list[str]) -> Iterator[None]:
    """Restores the objects that a loader replaces in the modules of an engine; adds paths of tensors to `replaced`."""
    states = [
        ModuleState(path, module) for name, root in engine.roots for path, module in root.named_modules(prefix=name)
    ]
    try:
        yield
    finally:
        for state in states:
            replaced += state.restore()
