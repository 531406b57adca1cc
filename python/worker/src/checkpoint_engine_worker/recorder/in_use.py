"""Finds the tensors that an engine computes with, for the tensors that its loader writes. Imports torch."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from checkpoint_engine_worker.engine import Engine
from checkpoint_engine_worker.recorder.expert_kernels import keeps_other_tensors
from checkpoint_engine_worker.recorder.kept_copies import keeps_copy
from checkpoint_engine_worker.recording.layer_notes import Notes
from checkpoint_engine_worker.recording.recording import OWNER, LiveTensor
from checkpoint_engine_worker.tensors.tensor_map import Owner, TensorMap, named_tensors


@dataclass(frozen=True)
class InUse:
    """Fields of a `Recording` with the same names."""

    live: Sequence[LiveTensor | None]
    transformed: Mapping[int, str]
    in_place: Callable[[], bool]


def in_use_of(engine: Engine, known: TensorMap, notes: Notes) -> InUse:
    """Returns the tensors in use by owner of `known`, which has the engine's tensors in their loaded form."""
    in_use = TensorMap(engine.roots)
    live = [_live(in_use, owner.path, owner.size_bytes) for owner in known.owners]
    held = {
        known.owners[i].path: found.address
        for i in {*notes.boxes[:, OWNER].tolist(), *(cast.owner for cast in notes.casts)}
        if known.owners[i].held and (found := live[i]) is not None
    }
    return InUse(
        live, _transformed(engine, in_use, known.owners), lambda: not held or _held_addresses(engine, held) == held
    )


def _live(in_use: TensorMap, path: str, size_bytes: int) -> LiveTensor | None:
    """Returns the tensor in use with the size of the loaded one. Only the proof shows whether it is the same."""
    owner = in_use.tensor_at(path)
    if owner is None or owner.size_bytes != size_bytes or owner.tensor.is_meta:
        return None
    return LiveTensor(owner.address, owner.size_bytes, owner.tensor)


def _held_addresses(engine: Engine, paths: Container[str]) -> dict[str, int]:
    found = (named for named in named_tensors(engine.roots) if named.held and named.path in paths)
    return {named.path: int(named.tensor.data_ptr()) for named in found}


def _transformed(engine: Engine, in_use: TensorMap, owners: Sequence[Owner]) -> dict[int, str]:
    """Returns the owners of modules that compute with a copy of their weights."""
    modules = {path: module for name, root in engine.roots for path, module in root.named_modules(prefix=name)}

    def known(tensor: Any) -> bool:
        owner = in_use.touches(tensor)
        return owner is not None and not in_use.owners[owner].held

    def is_named(tensor: Any) -> bool:
        return in_use.touches(tensor) is not None

    found = {path for path, module in modules.items() if keeps_copy(module, known)}
    found |= {path for path, module in modules.items() if keeps_other_tensors(module, is_named)}
    return {i: "the engine computes with a copy of it" for i, owner in enumerate(owners) if owner.module in found}
