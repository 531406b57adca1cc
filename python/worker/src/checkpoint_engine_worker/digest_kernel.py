"""The Triton kernels that digest pieces of device memory. Imports triton.

A row of a table: position in the tensor, address, rows, bytes of a row, pitch in the tensor, pitch in memory, and the
index of a sum. The kernels add to the sums, modulo 2^64.
"""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl


@triton.jit
def _block_key(block):  # type: ignore[no-untyped-def]
    bits = block.to(tl.uint64) + 0x9E3779B97F4A7C15
    bits = (bits ^ (bits >> 33)) * 0xFF51AFD7ED558CCD
    bits = (bits ^ (bits >> 33)) * 0xC4CEB9FE1A85EC53
    return (bits ^ (bits >> 33)) | 1


@triton.jit(do_not_specialize=["count"])  # type: ignore[misc, untyped-decorator, unused-ignore]
def digest_runs(  # type: ignore[no-untyped-def]
    table,
    sums,
    keys,
    count,
    PROGRAMS: tl.constexpr,  # noqa: N803
    WORDS: tl.constexpr,  # noqa: N803
) -> None:
    """Digests pieces with wide rows, whose numbers are multiples of 4, block by block."""
    column = tl.arange(0, WORDS)
    key = tl.load(keys + column)
    i = tl.program_id(0).to(tl.int64)
    while i < count:
        row = table + i * 7
        position = tl.load(row)
        address = tl.load(row + 1)
        rows = tl.load(row + 2)
        width = tl.load(row + 3) // 4
        position_pitch = tl.load(row + 4)
        pitch = tl.load(row + 5)
        total = tl.zeros((WORDS,), dtype=tl.uint64)
        for r in range(rows):
            word = (position + r * position_pitch) // 4
            data = (address + r * pitch).to(tl.pointer_type(tl.uint32))
            skipped = word % WORDS
            block = word // WORDS
            for c0 in range(0 - skipped, width, WORDS):
                c = c0 + column
                value = tl.load(data + c, mask=(c >= 0) & (c < width), other=0).to(tl.uint64)
                total += value * key * _block_key(block)
                block += 1
        tl.atomic_add(sums + tl.load(row + 6), tl.sum(total, axis=0))
        i += PROGRAMS


@triton.jit(do_not_specialize=["count"])  # type: ignore[misc, untyped-decorator, unused-ignore]
def digest_tiles(  # type: ignore[no-untyped-def]
    table,
    sums,
    keys,
    count,
    PROGRAMS: tl.constexpr,  # noqa: N803
    UNIT: tl.constexpr,  # noqa: N803
    ROWS: tl.constexpr,  # noqa: N803
    COLUMNS: tl.constexpr,  # noqa: N803
) -> None:
    """Digests all other pieces. `UNIT` is 4 if all numbers are multiples of 4, otherwise 1."""
    i = tl.program_id(0).to(tl.int64)
    while i < count:
        row = table + i * 7
        position = tl.load(row)
        address = tl.load(row + 1)
        rows = tl.load(row + 2)
        width = tl.load(row + 3) // UNIT
        position_pitch = tl.load(row + 4)
        pitch = tl.load(row + 5)
        total = tl.zeros((ROWS, COLUMNS), dtype=tl.uint64)
        for r0 in range(0, rows, ROWS):
            r = r0 + tl.arange(0, ROWS).to(tl.int64)
            for c0 in range(0, width, COLUMNS):
                c = (c0 + tl.arange(0, COLUMNS)).to(tl.int64)
                mask = (r < rows)[:, None] & (c < width)[None, :]
                place = position + r[:, None] * position_pitch + c[None, :] * UNIT
                at = address + r[:, None] * pitch + c[None, :] * UNIT
                if UNIT == 4:
                    value = tl.load(at.to(tl.pointer_type(tl.uint32)), mask=mask, other=0).to(tl.uint64)
                else:
                    value = tl.load(at.to(tl.pointer_type(tl.uint8)), mask=mask, other=0).to(tl.uint64)
                    value = value << ((place & 3) * 8).to(tl.uint64)
                key = tl.load(keys + ((place >> 2) & 1023), mask=mask, other=0)
                total += value * key * _block_key(place >> 12)
        tl.atomic_add(sums + tl.load(row + 6), tl.sum(tl.sum(total, axis=1), axis=0))
        i += PROGRAMS


def launch_runs(table: Any, sums: Any, keys: Any, count: int, programs: int) -> None:
    """Queues the digests of wide pieces."""
    digest_runs[(programs,)](table, sums, keys, count, PROGRAMS=programs, WORDS=1024, num_warps=8)


def launch_tiles(table: Any, sums: Any, keys: Any, count: int, programs: int, unit: int, columns: int) -> None:
    """Queues the digests of narrow or unaligned pieces."""
    digest_tiles[(programs,)](
        table, sums, keys, count, PROGRAMS=programs, UNIT=unit, ROWS=2048 // columns, COLUMNS=columns, num_warps=8
    )
