"""Creates the pieces of a copy table from recorded boxes and the places of their tensors. No torch.

A piece is a row of int64: source address, destination address, rows, row bytes, source pitch, destination pitch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from checkpoint_engine_worker.errors import CheckpointEngineError
from checkpoint_engine_worker.pull_types import Int64s, MappedRegion, Places
from checkpoint_engine_worker.recording.recording import (
    DESTINATION,
    DESTINATION_PITCH,
    OWNER,
    ROW_BYTES,
    ROWS,
    SOURCE,
    SOURCE_PITCH,
    TENSOR,
)

P_SOURCE, P_DESTINATION, P_ROWS, P_ROW_BYTES, P_SOURCE_PITCH, P_DESTINATION_PITCH = range(6)


@dataclass(frozen=True)
class Pieces:
    """`table` has one row per piece; `box` has the index of its box."""

    table: Int64s
    box: npt.NDArray[np.int64]

    @property
    def size_bytes(self) -> int:
        return int((self.table[:, P_ROWS] * self.table[:, P_ROW_BYTES]).sum())


class BoxIndex:
    """Boxes by tensor, with the addresses of their destinations."""

    def __init__(self, boxes: Int64s, owner_addresses: Int64s) -> None:
        self.order = np.argsort(boxes[:, TENSOR], kind="stable")
        self.boxes = boxes[self.order]
        self.destinations = self.boxes[:, DESTINATION] + owner_addresses[self.boxes[:, OWNER]]

    def __len__(self) -> int:
        return len(self.boxes)

    def pieces(self, places: Places, regions: Mapping[int, MappedRegion]) -> Pieces:
        """Returns the pieces for the parts of boxes in these places. Bytes that no box needs are left out."""
        addresses = place_addresses(places, regions)
        first = np.searchsorted(self.boxes[:, TENSOR], places.tensor, side="left")
        last = np.searchsorted(self.boxes[:, TENSOR], places.tensor, side="right")
        place = np.repeat(np.arange(len(places.tensor)), last - first)
        starts = np.cumsum(last - first) - (last - first)
        box = np.arange(len(place)) - np.repeat(starts - first, last - first)
        low = places.tensor_offset[place]
        table, pair = _sub_boxes(
            self.boxes[box],
            self.destinations[box],
            low,
            low + places.size[place],
            addresses[place] - low,
        )
        return Pieces(joined_rows(table), self.order[box[pair]])


def place_addresses(places: Places, regions: Mapping[int, MappedRegion]) -> Int64s:
    """Returns the address of each place. Refuses a place outside its region."""
    addresses = np.zeros(len(places.tensor), dtype=np.int64)
    for region in np.unique(places.region).tolist():
        mine = places.region == region
        mapped = regions.get(region)
        ends = places.offset[mine] + places.size[mine]
        if mapped is None or (places.offset[mine] < 0).any() or (places.size[mine] < 0).any():
            raise CheckpointEngineError(
                "CE_WORKER_PROTOCOL", f"A place refers to region {region} or bytes that do not exist", "Report this"
            )
        if (ends > mapped.size_bytes).any():
            raise CheckpointEngineError(
                "CE_WORKER_PROTOCOL",
                f"A place ends at byte {int(ends.max())} of region {region}, which has {mapped.size_bytes} bytes",
                "Report this",
            )
        addresses[mine] = mapped.address + places.offset[mine]
    return addresses


def _sub_boxes(
    boxes: Int64s, destinations: Int64s, low: Int64s, high: Int64s, base: Int64s
) -> tuple[Int64s, npt.NDArray[np.int64]]:
    """Returns the parts of each box in the bytes low to high of a tensor: whole rows, and parts of cut rows."""
    source, rows, row = boxes[:, SOURCE], boxes[:, ROWS], boxes[:, ROW_BYTES]
    pitch, step = boxes[:, SOURCE_PITCH], boxes[:, DESTINATION_PITCH]
    single = rows == 1
    repeated = ~single & (pitch == 0)
    span = np.where(single, row, np.maximum(pitch, 1))
    # Rows begin at source + i * span. The first that begins at or after low, and the first that ends after high.
    begin = np.clip(-((source - low) // span), 0, rows)
    end = np.clip((high - row - source) // span + 1, 0, rows)
    found, pairs = [], []

    def add(mask: npt.NDArray[np.bool_], at: Int64s, skip: Int64s, count: Int64s, size: Int64s) -> None:
        mask = mask & (count > 0) & (size > 0)
        if mask.any():
            src = base + source + at * np.where(repeated, 0, span) + skip
            dst = destinations + at * step + skip
            columns = (src, dst, count, size, pitch, step)
            found.append(np.stack([column[mask] for column in columns], axis=1))
            pairs.append(np.flatnonzero(mask))

    plain = ~repeated
    one = np.ones_like(rows)
    add(plain & (end > begin), begin, np.zeros_like(row), end - begin, row)
    for at, mask in ((end, plain & (end < rows)), (begin - 1, plain & (begin > 0) & (begin - 1 != end))):
        inside = mask & (at >= 0) & ((at < begin) | (at >= end))
        start = source + at * span
        skip = np.maximum(low - start, 0)
        add(inside, at, skip, one, np.minimum(high, start + row) - start - skip)
    skip = np.maximum(low - source, 0)
    add(repeated, np.zeros_like(rows), skip, rows, np.minimum(high, source + row) - source - skip)
    if not found:
        return (np.zeros((0, 6), dtype=np.int64), np.zeros(0, dtype=np.int64))
    return (np.concatenate(found), np.concatenate(pairs))


def cut(table: Int64s, cut_bytes: int) -> tuple[Int64s, npt.NDArray[np.int64]]:
    """Returns (pieces of at most `cut_bytes`, the row of each piece). Joins adjacent rows."""
    table = joined_rows(table)
    row, rows = table[:, P_ROW_BYTES], table[:, P_ROWS]
    # First, rows wider than a cut become separate rows.
    wide = row > cut_bytes
    count = np.where(wide, rows, 1)
    table, parent = _repeated(table, count, np.where(wide, 1, rows))
    width = table[:, P_ROW_BYTES].copy()
    pieces = -(-width // cut_bytes)
    narrow = width <= cut_bytes
    rows_each = np.where(narrow, np.maximum(1, cut_bytes // np.maximum(width, 1)), 1)
    pieces = np.where(narrow, -(-table[:, P_ROWS] // rows_each), pieces)
    index = np.repeat(np.arange(len(table)), pieces)
    nth = np.arange(len(index)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    result = table[index]
    is_narrow = narrow[index]
    at_row = nth * rows_each[index]
    result[:, P_SOURCE] += np.where(is_narrow, at_row * result[:, P_SOURCE_PITCH], nth * cut_bytes)
    result[:, P_DESTINATION] += np.where(is_narrow, at_row * result[:, P_DESTINATION_PITCH], nth * cut_bytes)
    left = np.where(is_narrow, table[index, P_ROWS] - at_row, 1)
    result[:, P_ROWS] = np.where(is_narrow, np.minimum(rows_each[index], left), 1)
    result[:, P_ROW_BYTES] = np.where(is_narrow, width[index], np.minimum(cut_bytes, width[index] - nth * cut_bytes))
    return (result, parent[index])


def joined_rows(table: Int64s) -> Int64s:
    """Returns the same pieces with adjacent rows joined to one row. Single rows have no pitch."""
    table = table.copy()
    row, rows = table[:, P_ROW_BYTES], table[:, P_ROWS]
    joined = (rows > 1) & (table[:, P_SOURCE_PITCH] == row) & (table[:, P_DESTINATION_PITCH] == row)
    row[joined] *= rows[joined]
    rows[joined] = 1
    table[rows == 1, P_SOURCE_PITCH] = 0
    table[rows == 1, P_DESTINATION_PITCH] = 0
    return table


def of_all(equal: npt.NDArray[np.bool_], parent: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.bool_]:
    """Returns for each of `count` rows of a table that was cut whether all of its pieces are equal."""
    found = np.ones(count, dtype=np.bool_)
    found[parent[~equal]] = False
    return found


def _repeated(table: Int64s, count: Int64s, rows: Int64s) -> tuple[Int64s, npt.NDArray[np.int64]]:
    """Returns each row `count` times, moved by a pitch each time, with `rows` rows each."""
    index = np.repeat(np.arange(len(table)), count)
    nth = np.arange(len(index)) - np.repeat(np.cumsum(count) - count, count)
    result = table[index]
    result[:, P_SOURCE] += nth * result[:, P_SOURCE_PITCH]
    result[:, P_DESTINATION] += nth * result[:, P_DESTINATION_PITCH]
    result[:, P_ROWS] = rows[index]
    return (result, index)
