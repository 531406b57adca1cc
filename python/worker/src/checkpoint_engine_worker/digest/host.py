"""Digests pieces in the memory of this process. Does not import torch.

A piece is a row of a copy table whose source is a position in a tensor instead of an address.
"""

from __future__ import annotations

import numpy as np

from checkpoint_engine_worker.digest import Uint64s, digest_rows
from checkpoint_engine_worker.pull_types import Int64s
from checkpoint_engine_worker.tables.host_pieces import rows_at, shared_work
from checkpoint_engine_worker.tables.pieces import cut

_CUT_BYTES = 1 << 20


def host_digests(table: Int64s, sum_of: Int64s, count: int) -> Uint64s:
    """Returns sums of the digests of pieces.

    Args:
        table: Pieces.
        sum_of: The sum of each piece.
        count: Number of sums.
    """
    pieces, parent = cut(table, _CUT_BYTES)
    found = np.zeros(len(pieces), dtype=np.uint64)

    def digest(part: Int64s, at: int) -> None:
        for i, (position, address, rows, row_bytes, position_pitch, pitch) in enumerate(part.tolist(), at):
            found[i] = digest_rows(rows_at(address, rows, row_bytes, pitch), position, position_pitch)

    shared_work(pieces, digest)
    sums = np.zeros(count, dtype=np.uint64)
    np.add.at(sums, sum_of[parent], found)
    return sums
