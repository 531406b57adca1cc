"""Digests pieces in the memory of this process. Does not import torch.

A piece is a row of a copy table whose source is a position in a tensor instead of an address.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from checkpoint_engine_worker.digest import Uint64s, digest_rows
from checkpoint_engine_worker.host_pieces import rows_at
from checkpoint_engine_worker.pull_types import Int64s

_THREADS = min(4, os.cpu_count() or 1)
_CUT_BYTES = 1 << 20


def host_digests(table: Int64s, sum_of: Int64s, count: int) -> Uint64s:
    """Returns sums of the digests of pieces.

    Args:
        table: Pieces.
        sum_of: The sum of each piece.
        count: Number of sums.
    """
    from checkpoint_engine_worker.pieces import cut

    pieces, parent = cut(table, _CUT_BYTES)

    def digest(index: int) -> int:
        position, address, rows, row_bytes, position_pitch, pitch = pieces[index].tolist()
        return digest_rows(rows_at(address, rows, row_bytes, pitch), position, position_pitch)

    if len(pieces) < 2 or _THREADS == 1:
        found = [digest(index) for index in range(len(pieces))]
    else:
        with ThreadPoolExecutor(_THREADS) as pool:
            found = list(pool.map(digest, range(len(pieces))))
    sums = np.zeros(count, dtype=np.uint64)
    np.add.at(sums, sum_of[parent], np.array(found, dtype=np.uint64))
    return sums
