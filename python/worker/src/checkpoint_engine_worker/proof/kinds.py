"""Kinds of modules that are equal in everything that a loader and an engine's processing depend on. Imports torch.

Two groups of modules are of one kind if their modules have the same classes, quantization methods and settings, their
tensors have the same types, shapes and strides, both as they are loaded and as they are in use, and the boxes of the
recording are the same. Names may differ only in the number of the layer.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import torch

from checkpoint_engine_worker.engine import Engine
from checkpoint_engine_worker.pull_types import Int64s
from checkpoint_engine_worker.recording.layers import split_layer
from checkpoint_engine_worker.recording.recording import COPY, OWNER, TENSOR, Recording
from checkpoint_engine_worker.tensors.tensor_map import TensorMap


@dataclass(frozen=True)
class Group:
    """Modules of a recording with a common verdict: their owners and tensors, by name."""

    number: int
    modules: tuple[str, ...]
    owners: tuple[int, ...]
    tensors: tuple[int, ...]


def groups_of(recording: Recording) -> list[Group]:
    """Returns the groups into which a loader writes."""
    owner_groups, tensor_groups = recording.groups()
    written = {*np.unique(recording.boxes[:, OWNER]).tolist(), *(cast.owner for cast in recording.casts)}
    owners: dict[int, list[int]] = {}
    for owner in sorted(written, key=lambda i: recording.owners[i].path):
        owners.setdefault(int(owner_groups[owner]), []).append(owner)
    tensors: dict[int, list[int]] = {}
    for tensor in sorted(range(len(recording.tensors)), key=lambda i: natural(recording.tensors[i].name)):
        tensors.setdefault(int(tensor_groups[tensor]), []).append(tensor)
    return [
        Group(number, _modules(recording, mine), tuple(mine), tuple(tensors[number]))
        for number, mine in owners.items()
        if number in tensors
    ]


def kinds_of(engine: Engine, recording: Recording, groups: Sequence[Group], loaded: TensorMap) -> list[list[Group]]:
    """Returns the groups by kind. `loaded` has the engine's tensors in their loaded form."""
    modules = {path: module for name, root in engine.roots for path, module in root.named_modules(prefix=name)}
    owner_groups, _ = recording.groups()
    box_groups = owner_groups[recording.boxes[:, OWNER]] if len(recording.boxes) else np.zeros(0, dtype=np.int64)
    order = np.argsort(box_groups, kind="stable")
    starts = np.searchsorted(box_groups[order], [group.number for group in groups], side="left")
    ends = np.searchsorted(box_groups[order], [group.number for group in groups], side="right")
    found: dict[Hashable, list[Group]] = {}
    for group, start, end in zip(groups, starts.tolist(), ends.tolist(), strict=True):
        boxes = recording.boxes[order[start:end]]
        key = (
            tuple((_beyond_layer(path), _settings(modules.get(path), path)) for path in group.modules),
            tuple(_owner_form(recording, loaded, owner) for owner in group.owners),
            tuple(_tensor_form(recording, tensor) for tensor in group.tensors),
            _boxes_form(boxes, group),
            tuple(
                sorted(
                    str(_cast_form(recording, cast, group)) for cast in recording.casts if cast.owner in group.owners
                )
            ),
        )
        found.setdefault(key, []).append(group)
    return list(found.values())


def _modules(recording: Recording, owners: Sequence[int]) -> tuple[str, ...]:
    """Returns the modules with these tensors, including those that share their memory."""
    found: dict[str, None] = {}
    for owner in owners:
        info = recording.owners[owner]
        found.update(dict.fromkeys((info.module, *info.shared_with)))
    return tuple(found)


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """Returns a key that sorts names by the values of their numbers."""
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in name.split("."))


def _owner_form(recording: Recording, loaded: TensorMap, owner: int) -> Hashable:
    info, live = recording.owners[owner], recording.live[owner]
    at = loaded.tensor_at(info.path)
    return (
        _beyond_layer(info.path),
        info.size_bytes,
        _form(at.tensor) if at else None,
        _form(live.tensor) if live else None,
        len(info.shared_with),
    )


def _tensor_form(recording: Recording, tensor: int) -> Hashable:
    meta = recording.tensors[tensor]
    return (_beyond_layer(meta.name), meta.dtype, meta.shape)


def _boxes_form(boxes: Int64s, group: Group) -> bytes:
    rows = np.delete(boxes, COPY, axis=1)
    if len(rows):
        for column, members in ((TENSOR, group.tensors), (OWNER, group.owners)):
            numbers = np.array(members, dtype=np.int64)
            by_number = np.argsort(numbers)
            rows[:, column] = by_number[np.searchsorted(numbers[by_number], rows[:, column])]
        rows = rows[np.lexsort(rows.T[::-1])]
    return hashlib.sha256(np.ascontiguousarray(rows).tobytes()).digest()


def _cast_form(recording: Recording, cast: Any, group: Group) -> Hashable:
    owner, tensor = _beyond_layer(recording.owners[cast.owner].path), _beyond_layer(recording.tensors[cast.tensor].name)
    return (
        *(owner, tensor, cast.shape, str(cast.source_dtype), cast.source_offset, cast.source_strides),
        *(str(cast.dtype), cast.offset_bytes, cast.strides),
    )


def _beyond_layer(name: str) -> Hashable:
    split = split_layer(name)
    return name if split is None else (split[0][0], split[1])


def _form(tensor: Any) -> Hashable:
    return (
        type(tensor).__name__,
        str(tensor.dtype),
        tuple(tensor.shape),
        tuple(tensor.stride()),
        str(tensor.device.type),
    )


def _settings(module: Any, path: str) -> Hashable:
    """Returns class and plain attributes of a module and of its quantization method."""
    if module is None:
        return None
    split = split_layer(path)
    layer = split[0][1] if split else None
    found: list[Hashable] = [f"{type(module).__module__}.{type(module).__qualname__}"]
    for helper in (module, getattr(module, "quant_method", None)):
        if helper is None:
            continue
        found.append(f"{type(helper).__module__}.{type(helper).__qualname__}")
        for name, value in sorted(getattr(helper, "__dict__", {}).items()):
            plain = _plain(value, layer)
            if plain is not _NONE and not ("layer" in name and value == layer):
                found.append((name, plain))
    return tuple(found)


_NONE = object()


def _plain(value: Any, layer: int | None) -> Any:
    if isinstance(value, str):
        return re.sub(rf"(?<![^.]){layer}(?![^.])", "*", value)
    if value is None or isinstance(value, (bool, int, float, torch.dtype)):
        return str(value)
    if isinstance(value, Enum):
        return str(value)
    if isinstance(value, (tuple, list)) and len(value) <= 64:
        items = [_plain(item, layer) for item in value]
        return _NONE if any(item is _NONE for item in items) else tuple(items)
    if isinstance(value, Mapping):
        return _NONE
    return type(value).__qualname__ if not isinstance(value, torch.Tensor) else _NONE
