"""Runs an engine's loader on real tensors, keeps its writes from the engine, and compares them with a recording.

The writes of the loader, and the copies of the recording's boxes, go to scratch memory: both must produce the same
bytes. Imports torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from checkpoint_engine_worker.copying.casts import cast_source
from checkpoint_engine_worker.engine import Engine
from checkpoint_engine_worker.pull_types import Int64s
from checkpoint_engine_worker.recorder.loader_trace import LoaderTrace
from checkpoint_engine_worker.recorder.observe import kept_as_it_is
from checkpoint_engine_worker.recorder.operations import kind_of, result_of_write, tensors_written
from checkpoint_engine_worker.recording.recording import (
    DESTINATION,
    DESTINATION_PITCH,
    OWNER,
    ROW_BYTES,
    ROWS,
    SOURCE,
    SOURCE_PITCH,
    TENSOR,
    CastNote,
    Recording,
)
from checkpoint_engine_worker.tensors.tensor_map import TensorMap
from checkpoint_engine_worker.tensors.torch_dtypes import as_bytes, rows_of

#: Alignment of scratch memory, which suits tensors of any type.
_ALIGN = 16


@dataclass(frozen=True)
class _Write:
    """A write of the loader: `values` into a strided view of an owner."""

    offset_bytes: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: Any
    values: Any

    @property
    def end_bytes(self) -> int:
        if 0 in self.shape:
            return self.offset_bytes
        last = sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))
        return self.offset_bytes + int(last + 1) * int(self.dtype.itemsize)


#: (first byte, end, whether it is the loader's or the recording's, a write or the columns of a box)
_Action = tuple[int, int, bool, "_Write | list[int]"]


class LoaderTrial(LoaderTrace):
    """Collects the loader's writes with their values. `refused` has the owners that it changes by other operations."""

    def __init__(self, tensors: TensorMap, device: Any, sources: Iterable[Any]) -> None:
        super().__init__(tensors, device)
        self.writes: dict[int, list[_Write]] = {}
        self.refused: set[int] = set()
        self.changes_source = False
        self._source_storages = {source.untyped_storage().data_ptr() for source in sources}
        self._kind_of: dict[Any, str] = {}

    def handle(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Handles one operation of the loader."""
        kind = self._kind_of.get(func)
        if kind is None:
            kind = self._kind_of[func] = kind_of(func)
        if kind == "cast" and kwargs.get("device") is not None and torch.device(kwargs["device"]).type == "meta":
            # To the device of a parameter, which has no memory during the trial.
            return func(*args, **{**kwargs, "device": self.device})
        if kind not in ("copy", "fill", "write"):
            return func(*args, **kwargs)
        for written in tensors_written(func, args, kwargs):
            if not written.is_meta and written.untyped_storage().data_ptr() in self._source_storages:
                self.changes_source = True
                return result_of_write(func, args, kwargs)
            owner = self.tensors.touches(written)
            if owner is not None:
                place = self.tensors.find(written)
                if kind == "write" or place is None:
                    self.refused.add(owner)
                else:
                    values = args[1] if len(args) > 1 else 0
                    shape, strides = tuple(written.shape), tuple(written.stride())
                    write = _Write(place[1], shape, strides, written.dtype, values)
                    self.writes.setdefault(place[0], []).append(write)
                return result_of_write(func, args, kwargs)
        return func(*args, **kwargs)


class LoaderTrials:
    """Trials of one recording, inside of `engine.load_format`.

    Args:
        engine: Its loader is run.
        recording: What is compared.
        known: The engine's tensors in their loaded form.
    """

    def __init__(self, engine: Engine, recording: Recording, known: TensorMap) -> None:
        self._engine = engine
        self._recording = recording
        self._known = known
        self._owner_of = {
            known.by_path[owner.path]: number
            for number, owner in enumerate(recording.owners)
            if owner.path in known.by_path
        }
        boxes = recording.boxes
        self._order = np.argsort(boxes[:, TENSOR], kind="stable")
        self._sorted_tensors = boxes[self._order, TENSOR]
        self._casts: dict[int, list[CastNote]] = {}
        for cast in recording.casts:
            self._casts.setdefault(cast.tensor, []).append(cast)

    def differing(self, sources: dict[int, Any]) -> set[int]:
        """Loads these tensors in one call, and returns the owners for which loader and recording differ.

        Raises:
            Exception: What the loader raises.
        """
        trial = LoaderTrial(self._known, self._engine.device, sources.values())
        weights = [(self._recording.tensors[i].name, source) for i, source in sources.items()]
        replaced: list[str] = []
        with kept_as_it_is(self._engine, replaced), trial.watching():
            self._engine.load_weights(weights)
        boxes = self._boxes_of(sources)
        casts = [cast for tensor in sources for cast in self._casts.get(tensor, ())]
        wanted = {*np.unique(boxes[:, OWNER]).tolist(), *(cast.owner for cast in casts)}
        if trial.changes_source or replaced:
            return wanted | {self._number(owner) for owner in trial.writes}
        found = {self._number(owner) for owner in trial.refused}
        writes = {self._number(owner): writes for owner, writes in trial.writes.items()}
        for owner in wanted | set(writes):
            mine = boxes[boxes[:, OWNER] == owner]
            converted = [cast for cast in casts if cast.owner == owner]
            if owner >= 0 and not self._is_alike(writes.get(owner, []), mine, converted, sources):
                found.add(owner)
        return found

    def _number(self, known_owner: int) -> int:
        return self._owner_of.get(known_owner, -1)

    def _boxes_of(self, tensors: Iterable[int]) -> Int64s:
        wanted = np.array(sorted(tensors), dtype=np.int64)
        first = np.searchsorted(self._sorted_tensors, wanted, side="left")
        last = np.searchsorted(self._sorted_tensors, wanted, side="right")
        rows = [self._order[a:b] for a, b in zip(first.tolist(), last.tolist(), strict=True)]
        return self._recording.boxes[np.concatenate(rows)] if rows else self._recording.boxes[:0]

    def _is_alike(
        self, writes: Sequence[_Write], boxes: Int64s, casts: Sequence[CastNote], sources: dict[int, Any]
    ) -> bool:
        converted = [
            _Write(c.offset_bytes, c.shape, c.strides, c.dtype, cast_source(as_bytes(sources[c.tensor]).clone(), c))
            for c in casts
        ]
        ends = boxes[:, DESTINATION] + (boxes[:, ROWS] - 1) * boxes[:, DESTINATION_PITCH] + boxes[:, ROW_BYTES]
        actions = [
            *((write.offset_bytes, write.end_bytes, True, write) for write in writes),
            *((write.offset_bytes, write.end_bytes, False, write) for write in converted),
            *((int(box[DESTINATION]), int(end), False, box.tolist()) for box, end in zip(boxes, ends, strict=True)),
        ]
        return all(self._is_alike_in(low, high, part, sources) for low, high, part in _clusters(actions))

    def _is_alike_in(self, low: int, high: int, actions: Sequence[_Action], sources: dict[int, Any]) -> bool:
        low -= low % _ALIGN
        size = high - low + (low - high) % _ALIGN
        # Bytes that neither writes do not change; bytes that only one of them writes differ for one of two fillings.
        for filling in (0x55, 0xAA):
            by_loader, by_boxes = (
                torch.full((size,), filling, dtype=torch.uint8, device=self._engine.device) for _ in range(2)
            )
            for _, _, is_loader, action in actions:
                scratch = by_loader if is_loader else by_boxes
                if isinstance(action, _Write):
                    _apply(action, scratch, low)
                else:
                    _copy(action, as_bytes(sources[action[TENSOR]]), scratch, low)
            if not torch.equal(by_loader, by_boxes):
                return False
        return True


def _clusters(actions: Sequence[_Action]) -> Iterator[tuple[int, int, list[_Action]]]:
    """Returns (first byte, end, actions) for parts of a tensor such that no action crosses a part's end.

    Actions keep their order, because later writes of a loader replace earlier ones.
    """
    found: list[int] = []
    low = high = 0
    for i in sorted(range(len(actions)), key=lambda i: actions[i][:2]):
        start, end, _, _ = actions[i]
        if found and start >= high:
            yield low, high, [actions[j] for j in sorted(found)]
            found = []
        low, high = (low, max(high, end)) if found else (start, end)
        found.append(i)
    if found:
        yield low, high, [actions[j] for j in sorted(found)]


def _apply(write: _Write, scratch: Any, low: int) -> None:
    at = (write.offset_bytes - low) // write.dtype.itemsize
    view = torch.as_strided(scratch.view(write.dtype), write.shape, write.strides, at)
    if isinstance(write.values, torch.Tensor):
        view.copy_(write.values)
    else:
        view.fill_(write.values)


def _copy(box: list[int], source: Any, scratch: Any, low: int) -> None:
    shape = (box[ROWS], box[ROW_BYTES])
    into = rows_of(scratch, box[DESTINATION] - low, shape, box[DESTINATION_PITCH])
    into.copy_(rows_of(source, box[SOURCE], shape, box[SOURCE_PITCH]))
