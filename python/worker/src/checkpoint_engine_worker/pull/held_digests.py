"""Digests an engine's data by the recorded boxes. Imports torch through the copier."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from checkpoint_engine_worker.pull_types import MappedRegion, Places
from checkpoint_engine_worker.recording.recording import ROW_BYTES, ROWS, SOURCE, SOURCE_PITCH, TENSOR
from checkpoint_engine_worker.tables.pieces import P_ROW_BYTES, P_ROWS, P_SOURCE, BoxIndex

if TYPE_CHECKING:
    from checkpoint_engine_worker.copying.copier import Copier
    from checkpoint_engine_worker.digest import Uint64s
    from checkpoint_engine_worker.pull_types import Int64s, Needs, Windows
    from checkpoint_engine_worker.recording.recording import Recording

#: Each tensor is a region that begins at address 0, so that the source of a piece is a position in its tensor.
_ANYWHERE = {0: MappedRegion(0, 2**62)}
_MASK = (1 << 64) - 1


class HeldIndex:
    """The direct boxes of a proved recording by their place in the engine. Valid until the decisions change.

    Creating one takes milliseconds per thousand boxes, so an engine keeps it between updates.
    """

    def __init__(self, recording: Recording, copier: Copier) -> None:
        self._boxes, self._need_of = _needed(recording)
        self._index = BoxIndex(self._boxes, recording.live_addresses())
        self._copier = copier
        #: Updates that verify everything ask for the same windows each time.
        self._last: _Question | None = None

    def digests(self, windows: Windows) -> tuple[Uint64s, Int64s]:
        """Returns the digest and the number of the bytes that the engine holds in each window.

        If the engine holds several copies of a box, as for tied weights, and they differ, the digest is one that the
        box cannot have.
        """
        question = self._last
        if question is None or not question.is_about(windows):
            question = self._last = _Question(self._boxes, self._need_of, self._index, self._copier, windows)
        return question.answer()


class _Question:
    """Windows, and the pieces of device memory that hold their bytes."""

    def __init__(self, boxes: Int64s, need_of: Int64s, index: BoxIndex, copier: Copier, windows: Windows) -> None:
        count = len(windows.tensor)
        self._windows, self._copier = windows, copier
        places = Places(windows.tensor, windows.offset, windows.size, np.zeros(count, dtype=np.uint32), windows.offset)
        pieces = index.pieces(places, _ANYWHERE)
        window = _window_of(pieces.table[:, P_SOURCE], boxes[pieces.box, TENSOR], windows)
        # One sum for each box in each window.
        keys, sum_of = np.unique(window * max(1, len(boxes)) + pieces.box, return_inverse=True)
        self._prepared = copier.prepare_digests(pieces.table, sum_of, len(keys))
        sizes = np.zeros(len(keys), dtype=np.int64)
        np.add.at(sizes, sum_of, pieces.table[:, P_ROWS] * pieces.table[:, P_ROW_BYTES])
        at, box = np.divmod(keys, max(1, len(boxes)))
        # Copies of one box in one window follow each other.
        self._order = np.lexsort((need_of[box], at))
        self._at, need = at[self._order], need_of[box][self._order]
        self._is_first = np.ones(len(keys), dtype=np.bool_)
        self._is_first[1:] = (self._at[1:] != self._at[:-1]) | (need[1:] != need[:-1])
        self._held = np.zeros(count, dtype=np.int64)
        np.add.at(self._held, self._at[self._is_first], sizes[self._order][self._is_first])

    def is_about(self, windows: Windows) -> bool:
        mine = self._windows
        columns = ((mine.tensor, windows.tensor), (mine.offset, windows.offset), (mine.size, windows.size))
        return all(np.array_equal(a, b) for a, b in columns)

    def answer(self) -> tuple[Uint64s, Int64s]:
        digests = np.zeros(len(self._windows.tensor), dtype=np.uint64)
        if len(self._order) == 0:
            return digests, self._held
        at, is_first = self._at, self._is_first
        found = self._copier.digests(self._prepared)[self._order]
        np.add.at(digests, at[is_first], found[is_first])
        first = np.maximum.accumulate(np.where(is_first, np.arange(len(at)), 0))
        for copy in np.flatnonzero(~is_first & (found != found[first])).tolist():
            # Adds the difference times an odd number. The sum cannot be a digest of the box, whichever copy is right.
            difference = (int(found[copy]) - int(found[first[copy]])) * (2 * copy + 3)
            digests[at[copy]] = (int(digests[at[copy]]) + difference) & _MASK
        return digests, self._held


def _needed(recording: Recording) -> tuple[Int64s, Int64s]:
    """Returns the direct boxes of the needs, with one row of each repeated box, and the number of its need."""
    boxes = recording.direct_boxes().copy()
    repeated = (boxes[:, ROWS] > 1) & (boxes[:, SOURCE_PITCH] == 0)
    boxes[repeated, ROWS] = 1
    numbers = {row: at for at, row in enumerate(_rows(recording.needs()))}
    pitch = np.where(boxes[:, ROWS] == 1, boxes[:, ROW_BYTES], boxes[:, SOURCE_PITCH])
    columns = (boxes[:, TENSOR], boxes[:, SOURCE], boxes[:, ROWS], boxes[:, ROW_BYTES], pitch)
    need = [numbers.get(row, -1) for row in zip(*(column.tolist() for column in columns), strict=True)]
    need_of = np.array(need, dtype=np.int64)
    return boxes[need_of >= 0], need_of[need_of >= 0]


def _rows(needs: Needs) -> list[tuple[int, ...]]:
    columns = (needs.tensor, needs.offset, needs.rows, needs.row_bytes, needs.pitch)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _window_of(position: Int64s, tensor: Int64s, windows: Windows) -> Int64s:
    """Returns the window of each piece: the last one of its tensor that begins at or before it."""
    starts = np.searchsorted(windows.tensor, np.arange(int(windows.tensor.max(initial=0)) + 2), side="left")
    # Windows of one tensor are in order, so one search over (tensor, offset) finds them.
    span = int((windows.offset + windows.size).max(initial=0)) + 1
    if span * (len(starts) + 1) < 2**62:
        keys = windows.tensor.astype(np.int64) * span + windows.offset
        return np.searchsorted(keys, tensor * span + position, side="right") - 1
    found = np.empty(len(position), dtype=np.int64)
    for one in np.unique(tensor).tolist():
        first, last = int(starts[one]), int(starts[one + 1])
        mine = tensor == one
        found[mine] = first + np.searchsorted(windows.offset[first:last], position[mine], side="right") - 1
    return found
