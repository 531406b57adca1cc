"""Selects copies that a device's copy engines do faster than a kernel. Does not import torch.

On an H100, from page-locked host memory: runs of 8 MiB 53 GB/s (a kernel 48), of 1 MiB 45; rows of 128 bytes to 4 KiB
at a pitch 50 to 55 GB/s (a kernel 39 to 48). Each copy costs a call, so small ones stay with the kernel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from checkpoint_engine_worker.pull_types import Int64s
from checkpoint_engine_worker.tables.pieces import (
    P_DESTINATION_PITCH,
    P_ROW_BYTES,
    P_ROWS,
    P_SOURCE_PITCH,
)

#: Single runs of at least this many bytes. Adjacent pieces are not joined: they may be in different allocations of the
#: device, and a copy engine refuses a copy that reaches over the end of an allocation.
RUN_BYTES = 2 << 20
#: Rows of at least this many bytes, in pieces of at least this many bytes.
ROW_BYTES, ROWS_BYTES = 128, 1 << 20
_MAX_PITCH = (1 << 31) - 1


@dataclass(frozen=True)
class Share:
    """Pieces grouped by how they are copied: as single runs, as rows at two pitches, or by the kernel."""

    runs: Int64s
    rows: Int64s
    rest: Int64s


def for_copy_engines(table: Int64s) -> Share:
    """Divides a table, without cutting its pieces."""
    runs = (table[:, P_ROWS] == 1) & (table[:, P_ROW_BYTES] >= RUN_BYTES)
    row, source_pitch, pitch = table[:, P_ROW_BYTES], table[:, P_SOURCE_PITCH], table[:, P_DESTINATION_PITCH]
    rows = (table[:, P_ROWS] > 1) & (row >= ROW_BYTES) & (row * table[:, P_ROWS] >= ROWS_BYTES)
    rows &= (source_pitch >= row) & (pitch >= row) & (np.maximum(source_pitch, pitch) <= _MAX_PITCH)
    return Share(table[runs], table[rows], table[~(runs | rows)])


def nothing_for_copy_engines(table: Int64s) -> Share:
    """Assigns all pieces to the kernel."""
    return Share(table[:0], table[:0], table)
