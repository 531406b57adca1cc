"""The Triton kernel that digests pieces of device memory. Imports triton.

A row of a table: position in the tensor, address, rows, bytes of a row, pitch in the tensor, pitch in memory, and the
index of a sum. The kernel adds to the sums, modulo 2^64.
"""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

#: Columns of a segment. Rows of up to `NARROW_BYTES` are cut into short segments, so that few lanes are idle.
WIDE, NARROW = 512, 64
NARROW_BYTES = 512
#: Elements of a tile: 16 for each thread of four warps, the fastest of the measured tiles.
_TILE, _WARPS = 2048, 4


@triton.jit
def _block_key(block):  # type: ignore[no-untyped-def]
    bits = block.to(tl.uint64) + 0x9E3779B97F4A7C15
    bits = (bits ^ (bits >> 33)) * 0xFF51AFD7ED558CCD
    bits = (bits ^ (bits >> 33)) * 0xC4CEB9FE1A85EC53
    return (bits ^ (bits >> 33)) | 1


@triton.jit(do_not_specialize=["first", "count"])  # type: ignore[misc, untyped-decorator, unused-ignore]
def digest_segments(  # type: ignore[no-untyped-def]
    table,
    sums,
    keys,
    first,
    count,
    PROGRAMS: tl.constexpr,  # noqa: N803
    UNIT: tl.constexpr,  # noqa: N803
    SEGMENTS: tl.constexpr,  # noqa: N803
    COLUMNS: tl.constexpr,  # noqa: N803
) -> None:
    """Digests `count` pieces from `first` on. `UNIT` is 4 if all numbers are multiples of 4, otherwise 1.

    Each row of a piece is cut into segments of `COLUMNS` units, and a tile has `SEGMENTS` of them. A segment spans at
    most two blocks, so the keys of blocks are computed once per segment, not once per word.
    """
    column = tl.arange(0, COLUMNS)
    i = tl.program_id(0)
    while i < count:
        row = table + (first + i).to(tl.int64) * 7
        position = tl.load(row)
        address = tl.load(row + 1)
        rows = tl.load(row + 2).to(tl.int32)
        width = (tl.load(row + 3) // UNIT).to(tl.int32)
        position_pitch = tl.load(row + 4)
        pitch = tl.load(row + 5)
        in_row = (width + COLUMNS - 1) // COLUMNS
        segments = rows * in_row
        total = tl.zeros((SEGMENTS, COLUMNS), dtype=tl.uint64)
        for s0 in range(0, segments, SEGMENTS):
            segment = s0 + tl.arange(0, SEGMENTS)
            r = segment // in_row
            c = (segment - r * in_row) * COLUMNS
            left = tl.where(segment < segments, width - c, 0)
            place = position + r.to(tl.int64) * position_pitch + c * UNIT
            at = address + r.to(tl.int64) * pitch + c * UNIT
            mask = column[None, :] < left[:, None]
            block = place >> 12
            key_here = _block_key(block)
            key_next = _block_key(block + 1)
            if UNIT == 4:
                word = ((place & 4095) >> 2).to(tl.int32)[:, None] + column[None, :]
                data = at.to(tl.pointer_type(tl.uint32))[:, None] + column[None, :]
                value = tl.load(data, mask=mask, other=0).to(tl.uint64)
            else:
                byte = (place & 4095).to(tl.int32)[:, None] + column[None, :]
                word = byte >> 2
                data = at.to(tl.pointer_type(tl.uint8))[:, None] + column[None, :]
                value = tl.load(data, mask=mask, other=0).to(tl.uint64) << ((byte & 3) * 8).to(tl.uint64)
            # The product of two numbers of 32 bits is one instruction.
            key = tl.load(keys + (word & 1023)).to(tl.uint32, bitcast=True).to(tl.uint64)
            total += value * key * tl.where(word < 1024, key_here[:, None], key_next[:, None])
        tl.atomic_add(sums + tl.load(row + 6), tl.sum(tl.sum(total, axis=1), axis=0))
        i += PROGRAMS


def launch_digest(
    table: Any, sums: Any, keys: Any, first: int, count: int, kind: tuple[int, int], programs: int
) -> None:
    """Queues the digests of pieces of one kind: (unit, columns)."""
    unit, columns = kind
    digest_segments[(programs,)](
        table,
        sums,
        keys,
        first,
        count,
        PROGRAMS=programs,
        UNIT=unit,
        SEGMENTS=_TILE // columns,
        COLUMNS=columns,
        num_warps=_WARPS,
    )
