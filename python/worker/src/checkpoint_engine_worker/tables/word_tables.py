"""Sorts pieces by the widest word that fits all their numbers, and by the shape of their rows. No torch, no triton.

A kernel is compiled for each combination, so there are few of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from checkpoint_engine_worker.pull_types import Int64s
from checkpoint_engine_worker.tables.pieces import (
    P_DESTINATION,
    P_DESTINATION_PITCH,
    P_ROW_BYTES,
    P_ROWS,
    P_SOURCE,
    P_SOURCE_PITCH,
)

#: Widths of a kernel's tile in words; its height fills it up to `TILE_WORDS`.
TILE_WIDTHS = (4, 32, 256, 2048)
TILE_WORDS = 4096


@dataclass(frozen=True)
class WordTable:
    """Pieces of one kind, in words: `word_bytes` 16 means pairs of 8. `piece` has the indexes of the pieces."""

    table: Int64s
    piece: npt.NDArray[np.int64]
    word_bytes: int
    tile_words: int
    tile_rows: int

    @property
    def key(self) -> tuple[int, int]:
        return (self.word_bytes, self.tile_words)


def word_tables(table: Int64s) -> list[WordTable]:
    """Returns the pieces of a table by kind; large pieces come first within a kind, which balances the programs."""
    several = table[:, P_ROWS] > 1
    bits = table[:, P_SOURCE] | table[:, P_DESTINATION] | table[:, P_ROW_BYTES] | 16
    bits |= np.where(several, table[:, P_SOURCE_PITCH] | table[:, P_DESTINATION_PITCH], 0)
    widths = bits & -bits
    words = table[:, P_ROW_BYTES] // np.minimum(widths, 8)
    tiles = np.array(TILE_WIDTHS)[np.minimum(np.searchsorted(TILE_WIDTHS, words), len(TILE_WIDTHS) - 1)]
    found = []
    for width in np.unique(widths).tolist():
        for tile in np.unique(tiles[widths == width]).tolist():
            piece = np.flatnonzero((widths == width) & (tiles == tile))
            part = table[piece]
            piece = piece[np.argsort(-(part[:, P_ROWS] * part[:, P_ROW_BYTES]), kind="stable")]
            part = table[piece].copy()
            part[:, [P_ROW_BYTES, P_SOURCE_PITCH, P_DESTINATION_PITCH]] //= min(width, 8)
            found.append(WordTable(part, piece, width, tile, max(1, TILE_WORDS // tile)))
    return found


def every_kind() -> Int64s:
    """Returns a table with a piece of each kind for compilation; its addresses are not valid."""
    base = 1 << 14
    words = [1, 2, 4, 8, 16]
    rows = [(base + word, base + word, 1, tile * min(word, 8), 0, 0) for word in words for tile in TILE_WIDTHS]
    return np.array(rows, dtype=np.int64)
