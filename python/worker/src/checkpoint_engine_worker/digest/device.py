"""Digests pieces of a CUDA device's memory. Imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch

from checkpoint_engine_worker.digest import BLOCK_BYTES, WORD_KEYS, Uint64s
from checkpoint_engine_worker.digest.kernel import NARROW, NARROW_BYTES, WIDE, launch_digest
from checkpoint_engine_worker.pull_types import Int64s
from checkpoint_engine_worker.tables.pieces import (
    P_DESTINATION,
    P_DESTINATION_PITCH,
    P_ROW_BYTES,
    P_ROWS,
    P_SOURCE,
    P_SOURCE_PITCH,
    cut,
)

#: Programs: the engine is paused, so they may take all of the device.
PROGRAMS = 2112
#: Pieces are cut so that each program gets about one, within these bounds.
_MIN_CUT_BYTES, _MAX_CUT_BYTES = 16 << 10, 256 << 10
#: Unit and columns of each kind of pieces.
_KINDS = ((4, WIDE), (4, NARROW), (1, WIDE))


@dataclass(frozen=True)
class DevicePieces:
    """A table on the device, sorted by kind, and where each kind begins in it."""

    table: Any
    starts: Int64s
    count: int


def upload_pieces(table: Int64s, sum_of: Int64s, count: int, device: Any, *, programs: int = PROGRAMS) -> DevicePieces:
    """Prepares `digest_pieces`, after the work that is queued on the current stream. Arguments: see `host_digests`."""
    size_bytes = int((table[:, P_ROWS] * table[:, P_ROW_BYTES]).sum())
    share = -(-size_bytes // (programs * BLOCK_BYTES)) * BLOCK_BYTES
    pieces, parent = cut(table, min(max(share, _MIN_CUT_BYTES), _MAX_CUT_BYTES))
    numbers = [P_SOURCE, P_DESTINATION, P_ROW_BYTES, P_SOURCE_PITCH, P_DESTINATION_PITCH]
    is_words = (np.bitwise_or.reduce(pieces[:, numbers], axis=1) & 3) == 0
    kind = np.where(is_words, (pieces[:, P_ROW_BYTES] <= NARROW_BYTES).astype(np.int64), 2)
    order = np.argsort(kind, kind="stable")
    rows = np.column_stack([pieces, sum_of[parent]])[order]
    starts = np.searchsorted(kind[order], np.arange(len(_KINDS) + 1))
    return DevicePieces(torch.from_numpy(rows).to(device), starts, count)


def digest_pieces(pieces: DevicePieces, *, programs: int = PROGRAMS) -> Uint64s:
    """Returns the sums of the digests of pieces, after the work that is queued on the current stream."""
    device = pieces.table.device
    sums = torch.zeros(max(1, pieces.count), dtype=torch.int64, device=device)
    for at, kind in enumerate(_KINDS):
        first, end = int(pieces.starts[at]), int(pieces.starts[at + 1])
        if end > first:
            launch_digest(pieces.table, sums.view(torch.uint64), _keys(device), first, end - first, kind, programs)
    found: Uint64s = sums.cpu().numpy().view(np.uint64)
    return found[: pieces.count]


def device_digests(table: Int64s, sum_of: Int64s, count: int, device: Any, *, programs: int = PROGRAMS) -> Uint64s:
    """Returns the same sums as `host_digests`, after the work that is queued on the current stream."""
    return digest_pieces(upload_pieces(table, sum_of, count, device, programs=programs), programs=programs)


def warm_digests(device: Any) -> None:
    """Compiles all kernels on zero pieces, so that compilation never happens during an update."""
    table = torch.zeros(7, dtype=torch.int64, device=device)
    sums = torch.zeros(1, dtype=torch.int64, device=device).view(torch.uint64)
    for kind in _KINDS:
        launch_digest(table, sums, _keys(table.device), 0, 0, kind, PROGRAMS)


@cache
def _keys(device: Any) -> Any:
    return torch.from_numpy(WORD_KEYS.astype(np.uint32).view(np.int32)).to(device)
