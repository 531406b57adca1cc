"""Digests pieces of a CUDA device's memory. Imports torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from checkpoint_engine_worker.digest import BLOCK_BYTES, WORD_KEYS, Uint64s
from checkpoint_engine_worker.digest_kernel import launch_runs, launch_tiles
from checkpoint_engine_worker.pieces import (
    P_DESTINATION,
    P_DESTINATION_PITCH,
    P_ROW_BYTES,
    P_SOURCE,
    P_SOURCE_PITCH,
    cut,
)
from checkpoint_engine_worker.pull_types import Int64s

#: Programs: the engine is paused, so they may use the complete device.
_PROGRAMS = 1056
#: Pieces are cut to this, so that programs get equal shares.
_CUT_BYTES = 128 << 10
#: Widths of a tile.
_COLUMNS = (16, 128, 1024)


def device_digests(table: Int64s, sum_of: Int64s, count: int, device: Any, *, programs: int = _PROGRAMS) -> Uint64s:
    """Returns sums of the digests of pieces, as `host_digests`, after earlier work on the current stream."""
    pieces, parent = cut(table, _CUT_BYTES)
    rows = np.column_stack([pieces, sum_of[parent]])
    sums = torch.zeros(max(1, count), dtype=torch.int64, device=device).view(torch.uint64)
    keys = torch.from_numpy(WORD_KEYS.view(np.int64)).to(device).view(torch.uint64)
    numbers = [P_SOURCE, P_DESTINATION, P_ROW_BYTES, P_SOURCE_PITCH, P_DESTINATION_PITCH]
    is_words = (np.bitwise_or.reduce(pieces[:, numbers], axis=1) & 3) == 0
    is_run = is_words & (pieces[:, P_ROW_BYTES] >= BLOCK_BYTES)

    def upload(chosen: Any) -> Any:
        return torch.from_numpy(np.ascontiguousarray(rows[chosen])).to(device)

    if is_run.any():
        launch_runs(upload(is_run), sums, keys, int(is_run.sum()), programs)
    for unit, kind in ((4, is_words & ~is_run), (1, ~is_words)):
        widths = pieces[:, P_ROW_BYTES] // unit
        tiles = np.array(_COLUMNS)[np.minimum(np.searchsorted(_COLUMNS, widths), len(_COLUMNS) - 1)]
        for columns in np.unique(tiles[kind]).tolist():
            chosen = kind & (tiles == columns)
            launch_tiles(upload(chosen), sums, keys, int(chosen.sum()), programs, unit, columns)
    found: Uint64s = sums.view(torch.int64).cpu().numpy().view(np.uint64)
    return found[:count]


def warm_digests(device: Any) -> None:
    """Compiles all kernels on zero pieces, so that compilation never happens during an update."""
    table = torch.zeros(7, dtype=torch.int64, device=device)
    sums = torch.zeros(1, dtype=torch.int64, device=device).view(torch.uint64)
    keys = torch.from_numpy(WORD_KEYS.view(np.int64)).to(device).view(torch.uint64)
    launch_runs(table, sums, keys, 0, _PROGRAMS)
    for unit in (1, 4):
        for columns in _COLUMNS:
            launch_tiles(table, sums, keys, 0, _PROGRAMS, unit, columns)
