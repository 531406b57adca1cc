"""Copies and compares pieces in the memory of this process, for engines without an accelerator. No torch.

`memmove` and numpy's copies run without the interpreter's lock, so a few threads share the work.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from checkpoint_engine_worker.pull_types import Int64s
from checkpoint_engine_worker.tables.pieces import P_ROW_BYTES, P_ROWS

_THREADS = min(4, os.cpu_count() or 1)
_SHARE_BYTES = 4 << 20


def rows_at(address: int, rows: int, row_bytes: int, pitch: int) -> npt.NDArray[np.uint8]:
    """Returns an array over memory of this process; the caller must keep that memory alive."""
    span = (rows - 1) * pitch + row_bytes
    memory = (ctypes.c_uint8 * span).from_address(address)
    return np.ndarray((rows, row_bytes), dtype=np.uint8, buffer=memory, strides=(pitch, 1))


def copy_pieces(table: Int64s) -> None:
    """Copies every piece. Returns when all bytes are written."""
    shared_work(table, _copy)


def equal_pieces(table: Int64s) -> npt.NDArray[np.bool_]:
    """Returns for each piece whether its source and its destination have the same bytes."""
    found = np.zeros(len(table), dtype=np.bool_)

    def compare(part: Int64s, at: int) -> None:
        for i, (source, destination, rows, row_bytes, source_pitch, pitch) in enumerate(part.tolist(), at):
            a = rows_at(source, rows, row_bytes, source_pitch)
            found[i] = np.array_equal(a, rows_at(destination, rows, row_bytes, pitch))

    shared_work(table, compare)
    return found


def _copy(part: Int64s, at: int) -> None:
    for source, destination, rows, row_bytes, source_pitch, pitch in part.tolist():
        if rows == 1:
            ctypes.memmove(destination, source, row_bytes)
        else:
            rows_at(destination, rows, row_bytes, pitch)[...] = rows_at(source, rows, row_bytes, source_pitch)


def shared_work(table: Int64s, work: Callable[[Int64s, int], Any]) -> None:
    """Runs the work on consecutive parts of the table of about equal bytes."""
    sizes = np.cumsum(table[:, P_ROWS] * table[:, P_ROW_BYTES])
    total = int(sizes[-1]) if len(sizes) else 0
    if total <= _SHARE_BYTES or _THREADS == 1:
        work(table, 0)
        return
    count = min(_THREADS * 4, -(-total // _SHARE_BYTES))
    bounds = np.searchsorted(sizes, [total * i // count for i in range(1, count)]).tolist()
    edges = [0, *bounds, len(table)]
    with ThreadPoolExecutor(_THREADS) as pool:
        parts = [(a, b) for a, b in pairwise(edges) if a < b]
        list(pool.map(lambda part: work(table[part[0] : part[1]], part[0]), parts))
