"""Values that an engine needs and no update writes, for engines that discard their weights and load them again.

A pull writes the bytes that it has recorded, and the engine's loader writes the modules that are left to it. All other
bytes are older than the first update: rows that pad a vocabulary, parameters that no checkpoint has, and tensors that
modules hold in addition to their parameters. They are copied to the host once. Imports torch.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from checkpoint_engine_worker.copying.casts import live_view
from checkpoint_engine_worker.engine import Engine
from checkpoint_engine_worker.pull_types import Int64s
from checkpoint_engine_worker.recording.recording import (
    DESTINATION,
    DESTINATION_PITCH,
    OWNER,
    ROW_BYTES,
    ROWS,
    Recording,
)
from checkpoint_engine_worker.tensors.tensor_map import NamedTensor, named_tensors, span_bytes, span_of

#: Maximum size of kept values. An engine with more loads everything after a discard.
MAX_BYTES = 256 << 20
#: A tensor with more parts that no update writes is kept whole.
_MAX_PARTS = 4096


class UnpulledValues:
    """The current values. Create an instance while the weights are intact.

    Args:
        engine: The current engine.
        recording: The proved recording of the engine.
        blocks: The memory that the engine may discard, see `WeightMemory.discardable`.
        is_refreshed: Whether the engine's hooks recompute the values that a module derives from weights.
    """

    def __init__(
        self,
        engine: Engine,
        recording: Recording,
        blocks: Sequence[tuple[int, int]],
        is_refreshed: Callable[[Any], bool] = lambda _: False,
    ) -> None:
        #: Whether all values are kept.
        self.is_complete = True
        self._kept: list[tuple[Any, Any]] = []
        if blocks:
            self._keep(engine, recording, blocks, is_refreshed)

    @property
    def size_bytes(self) -> int:
        """The values, as copies in host memory."""
        return sum(value.numel() for _, value in self._kept)

    def restore(self) -> None:
        """Writes the values back."""
        for place, value in self._kept:
            place.copy_(value)

    def _keep(
        self,
        engine: Engine,
        recording: Recording,
        blocks: Sequence[tuple[int, int]],
        is_refreshed: Callable[[Any], bool],
    ) -> None:
        written = _written(recording)
        loaded = _loaded_modules(recording)
        places: list[Any] = []
        seen: set[tuple[int, int]] = set()
        for named in _candidates(engine, is_refreshed):
            if named.module in loaded and isinstance(named.tensor, torch.nn.Parameter):
                continue
            address, size = int(named.tensor.data_ptr()), span_of(named.tensor)
            if size == 0 or not _is_within(blocks, address):
                continue
            parts = [part for part in _gaps(written, address, address + size) if part not in seen]
            seen.update(parts)
            data = span_bytes(named.tensor) if parts else None
            places += [data[start - address : end - address] for start, end in parts if data is not None]
        self.is_complete = sum(place.numel() for place in places) <= MAX_BYTES
        if self.is_complete:
            self._kept = [(place, place.to("cpu", copy=True)) for place in places]


def _candidates(engine: Engine, is_refreshed: Callable[[Any], bool]) -> Iterator[NamedTensor]:
    """Yields tensors that may have bytes that nothing else restores.

    The engine itself restores the buffers of its main model. Adapters are loaded again after an update.
    """
    refreshed = {
        path for name, root in engine.roots for path, module in root.named_modules(prefix=name) if is_refreshed(module)
    }
    for number, root in enumerate(engine.roots):
        for named in named_tensors([root]):
            if named.tensor.is_meta or named.module in refreshed or "lora_" in named.path.rpartition(".")[2]:
                continue
            is_buffer = not named.held and not isinstance(named.tensor, torch.nn.Parameter)
            if is_buffer and (number == 0 or not named.tensor.is_floating_point()):
                continue
            yield named


def _loaded_modules(recording: Recording) -> set[str]:
    """The modules that the engine's loader fills."""
    owner_groups, _ = recording.groups()
    verdicts = recording.verdicts or []
    written = {*recording.boxes[:, OWNER].tolist(), *(c.owner for c in recording.casts), *recording.owner_reasons}
    loaded: set[str] = set()
    for owner in written:
        if not verdicts or verdicts[int(owner_groups[owner])].kind != "direct":
            loaded.update((recording.owners[owner].module, *recording.owners[owner].shared_with))
    return loaded


def _written(recording: Recording) -> tuple[Int64s, Int64s]:
    """Returns first addresses and ends of the memory that pulls write, sorted and disjoint."""
    boxes = recording.direct_boxes()
    starts = recording.live_addresses()[boxes[:, OWNER]] + boxes[:, DESTINATION]
    dense = (boxes[:, ROWS] == 1) | (boxes[:, DESTINATION_PITCH] == boxes[:, ROW_BYTES])
    rows = np.where(dense, 1, boxes[:, ROWS])
    sizes = np.where(dense, boxes[:, ROWS] * boxes[:, ROW_BYTES], boxes[:, ROW_BYTES])
    number = np.arange(int(rows.sum())) - np.repeat(np.cumsum(rows) - rows, rows)
    starts = np.repeat(starts, rows) + number * np.repeat(boxes[:, DESTINATION_PITCH], rows)
    ends = starts + np.repeat(sizes, rows)
    views = [live_view(recording, cast) for cast in recording.direct_casts()]
    if views:
        at = np.array([view.data_ptr() for view in views], dtype=np.int64)
        starts = np.concatenate([starts, at])
        ends = np.concatenate([ends, at + np.array([span_of(view) for view in views], dtype=np.int64)])
    if len(starts) == 0:
        return starts, ends
    order = np.argsort(starts, kind="stable")
    starts, ends = starts[order], np.maximum.accumulate(ends[order])
    first = np.ones(len(starts), dtype=np.bool_)
    first[1:] = starts[1:] > ends[:-1]
    last = np.append(first[1:], True)
    return starts[first], ends[last]


def _gaps(written: tuple[Int64s, Int64s], start: int, end: int) -> list[tuple[int, int]]:
    """Returns the ranges between two addresses that no pull writes."""
    starts, ends = written
    first = int(np.searchsorted(ends, start, side="right"))
    last = int(np.searchsorted(starts, end, side="left"))
    if last - first > _MAX_PARTS:
        return [(start, end)]
    gaps = []
    for i in range(first, last):
        if starts[i] > start:
            gaps.append((start, int(starts[i])))
        start = max(start, int(ends[i]))
    return [*gaps, (start, end)] if start < end else gaps


def _is_within(blocks: Sequence[tuple[int, int]], address: int) -> bool:
    at = bisect_right(blocks, (address, 1 << 63)) - 1
    return at >= 0 and address < blocks[at][1]
