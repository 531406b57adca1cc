"""Resolves overlapping writes: a kernel keeps no order, so boxes of a table must not share a byte. No torch."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from checkpoint_engine_worker.pull_types import Int64s
from checkpoint_engine_worker.recording.recording import (
    COPY,
    DESTINATION,
    DESTINATION_PITCH,
    OWNER,
    ROW_BYTES,
    ROWS,
    TENSOR,
)

#: The tensor of a box that holds a constant.
FILL = -1

#: The engine loads an owner that needs a finer map than this.
_MAX_CELLS = 1 << 27


def settle(boxes: Int64s) -> tuple[Int64s, dict[int, str], dict[int, str]]:
    """Returns (boxes without constants and without replaced copies, reasons of tensors, reasons of owners).

    A copy over a constant or over exactly the same bytes replaces it. Any other overlap makes tensors and owner opaque.
    """
    tensors: dict[int, str] = {}
    owners: dict[int, str] = {}
    dropped = np.zeros(len(boxes), dtype=np.bool_)
    for rows in _meeting(boxes):
        _settle_owner(boxes, rows, dropped, tensors, owners)
    keep = ~dropped & (boxes[:, TENSOR] != FILL)
    return (boxes[keep], tensors, owners)


def _meeting(boxes: Int64s) -> list[npt.NDArray[np.int64]]:
    """Returns the rows of all boxes of each owner whose boxes may share bytes."""
    if not len(boxes):
        return []
    ends = boxes[:, DESTINATION] + (boxes[:, ROWS] - 1) * boxes[:, DESTINATION_PITCH] + boxes[:, ROW_BYTES]
    order = np.lexsort((boxes[:, DESTINATION], boxes[:, OWNER]))
    base = boxes[order, OWNER] * (int(ends.max()) + 1)
    reach = np.maximum.accumulate(base + ends[order])
    meets = (base + boxes[order, DESTINATION])[1:] < reach[:-1]
    owners = np.unique(boxes[order[1:][meets], OWNER])
    sorted_owners = boxes[order, OWNER]
    low, high = np.searchsorted(sorted_owners, owners), np.searchsorted(sorted_owners, owners, side="right")
    return [order[a:b] for a, b in zip(low, high, strict=True)]


def _settle_owner(
    boxes: Int64s,
    rows: npt.NDArray[np.int64],
    dropped: npt.NDArray[np.bool_],
    tensors: dict[int, str],
    owners: dict[int, str],
) -> None:
    mine = boxes[rows]
    several = mine[:, ROWS] > 1
    unit = math.gcd(
        *mine[:, DESTINATION].tolist(), *mine[:, ROW_BYTES].tolist(), *mine[several, DESTINATION_PITCH].tolist()
    )
    end = int((mine[:, DESTINATION] + (mine[:, ROWS] - 1) * mine[:, DESTINATION_PITCH] + mine[:, ROW_BYTES]).max())
    owner = int(mine[0, OWNER])

    def refuse(*which: int) -> None:
        owners.setdefault(owner, "copies into it overlap")
        for row in which:
            if boxes[row, TENSOR] != FILL:
                tensors.setdefault(int(boxes[row, TENSOR]), "its bytes overlap those of another copy")

    if end // unit > _MAX_CELLS:
        refuse(*rows.tolist())
        return
    cells = np.zeros(end // unit, dtype=np.int64)
    for row in rows[np.argsort(mine[:, COPY], kind="stable")].tolist():
        box = boxes[row]
        pitch = int(box[DESTINATION_PITCH]) if box[ROWS] > 1 else int(box[ROW_BYTES])
        view = as_strided(
            cells[int(box[DESTINATION]) // unit :],
            (int(box[ROWS]), int(box[ROW_BYTES]) // unit),
            (pitch // unit * cells.itemsize, cells.itemsize),
        )
        for before in np.unique(view).tolist():
            if before == 0:
                continue
            earlier = before - 1
            same = _covers(box, boxes[earlier])
            if boxes[earlier, TENSOR] == FILL or same:
                dropped[earlier] |= same
            else:
                refuse(earlier, row)
        view[:] = row + 1


def _covers(box: Int64s, other: Int64s) -> bool:
    """Returns whether the other box writes the same bytes: the same destination, rows, row bytes and pitch."""
    places = [DESTINATION, ROWS, ROW_BYTES]
    return bool((box[places] == other[places]).all()) and (
        int(box[ROWS]) == 1 or int(box[DESTINATION_PITCH]) == int(other[DESTINATION_PITCH])
    )
