"""Turns a copy between two strided views into boxes: rows of contiguous bytes at two fixed pitches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

#: (source offset, destination offset, rows, row bytes, source pitch, destination pitch), all in bytes.
Box = tuple[int, int, int, int, int, int]

#: The engine executes copies that need more boxes than this, because a table of them would be slow.
MAX_BOXES = 1 << 16


def boxes_of(
    shape: Sequence[int], source_strides: Sequence[int], destination_strides: Sequence[int], item_bytes: int
) -> list[Box] | None:
    """Returns the boxes of one copy. Offsets are relative to the first elements of the views; strides count elements.

    A source stride of 0 repeats the source. Returns None if the copy needs more than `MAX_BOXES` boxes.
    """
    if 0 in shape:
        return []
    dims = _merged(shape, source_strides, destination_strides)
    row_bytes = item_bytes
    if dims and dims[-1][1] == 1 and dims[-1][2] == 1:
        row_bytes = dims.pop()[0] * item_bytes
    # The longest remaining dimension becomes the rows of a box.
    rows, source_step, destination_step = 1, 0, 0
    if dims:
        longest = max(range(len(dims)), key=lambda i: dims[i][0])
        rows, source_step, destination_step = dims.pop(longest)
    count = math.prod(size for size, _, _ in dims)
    pitches = (source_step * item_bytes, destination_step * item_bytes)
    if rows == 1:
        pitches = (row_bytes, row_bytes)
    elif 0 < pitches[0] < row_bytes:  # windows that overlap in the source: each is a separate box
        dims.append((rows, source_step, destination_step))
        count *= rows
        rows, pitches = 1, (row_bytes, row_bytes)
    if count > MAX_BOXES:
        return None
    found = []
    for index in product(*(range(size) for size, _, _ in dims)):
        source = sum(i * dim[1] for i, dim in zip(index, dims, strict=True))
        destination = sum(i * dim[2] for i, dim in zip(index, dims, strict=True))
        found.append((source * item_bytes, destination * item_bytes, rows, row_bytes, *pitches))
    return found


def _merged(
    shape: Sequence[int], source_strides: Sequence[int], destination_strides: Sequence[int]
) -> list[tuple[int, int, int]]:
    """Returns (size, source stride, destination stride) from outer to inner. Merges adjacent dimensions if possible."""
    dims = [
        (size, source, destination)
        for size, source, destination in zip(shape, source_strides, destination_strides, strict=True)
        if size != 1
    ]
    # Order by the destination, so that a transposed pair of views still merges and ends with the longest runs.
    dims.sort(key=lambda dim: (dim[2], dim[1]), reverse=True)
    merged: list[tuple[int, int, int]] = []
    for dim in reversed(dims):
        if merged:
            size, source, destination = merged[-1]
            if dim[1] == size * source and dim[2] == size * destination:
                merged[-1] = (dim[0] * size, source, destination)
                continue
        merged.append(dim)
    merged.reverse()
    return merged
