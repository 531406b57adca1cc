"""The Triton kernels that copy and compare the pieces of a table. Imports triton.

A row of a table: source address, destination address, rows, words per row, source pitch, destination pitch, in words.
Programs take rows in turn, so a few of them fill a PCIe link and leave the device to others.
"""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from checkpoint_engine_worker.tables.word_tables import WordTable

_WORDS = {1: tl.int8, 2: tl.int16, 4: tl.int32, 8: tl.int64, 16: tl.int64}


@triton.jit(do_not_specialize=["count"])  # type: ignore[misc, untyped-decorator, unused-ignore]
def copy_kernel(  # type: ignore[no-untyped-def]
    table,
    count,
    PROGRAMS: tl.constexpr,  # noqa: N803
    WORD: tl.constexpr,  # noqa: N803
    PAIRS: tl.constexpr,  # noqa: N803
    ROWS: tl.constexpr,  # noqa: N803
    WORDS: tl.constexpr,  # noqa: N803
) -> None:
    """Copies pieces. `WORD` is the type of a word. `PAIRS`: numbers are even, addresses multiples of 16 bytes."""
    i = tl.program_id(0).to(tl.int64)
    while i < count:
        row = table + i * 6
        source = tl.load(row).to(tl.pointer_type(WORD))
        destination = tl.load(row + 1).to(tl.pointer_type(WORD))
        rows = tl.load(row + 2)
        words = tl.load(row + 3)
        source_pitch = tl.load(row + 4)
        pitch = tl.load(row + 5)
        if PAIRS:
            source = tl.multiple_of(source, 16)
            destination = tl.multiple_of(destination, 16)
            words = tl.multiple_of(words, 2)
            source_pitch = tl.multiple_of(source_pitch, 2)
            pitch = tl.multiple_of(pitch, 2)
        for r0 in range(0, rows, ROWS):
            r = r0 + tl.arange(0, ROWS).to(tl.int64)
            for c0 in range(0, words, WORDS):
                c = c0 + tl.arange(0, WORDS)
                mask = (r < rows)[:, None] & (c < words)[None, :]
                value = tl.load(source + r[:, None] * source_pitch + c[None, :], mask=mask)
                tl.store(destination + r[:, None] * pitch + c[None, :], value, mask=mask)
        i += PROGRAMS


@triton.jit(do_not_specialize=["count"])  # type: ignore[misc, untyped-decorator, unused-ignore]
def compare_kernel(  # type: ignore[no-untyped-def]
    table,
    unequal,
    count,
    PROGRAMS: tl.constexpr,  # noqa: N803
    WORD: tl.constexpr,  # noqa: N803
    PAIRS: tl.constexpr,  # noqa: N803
    ROWS: tl.constexpr,  # noqa: N803
    WORDS: tl.constexpr,  # noqa: N803
) -> None:
    """Counts unequal words of each piece into `unequal` (int32, one for each row of the table)."""
    i = tl.program_id(0).to(tl.int64)
    while i < count:
        row = table + i * 6
        source = tl.load(row).to(tl.pointer_type(WORD))
        destination = tl.load(row + 1).to(tl.pointer_type(WORD))
        rows = tl.load(row + 2)
        words = tl.load(row + 3)
        source_pitch = tl.load(row + 4)
        pitch = tl.load(row + 5)
        if PAIRS:
            source = tl.multiple_of(source, 16)
            destination = tl.multiple_of(destination, 16)
            words = tl.multiple_of(words, 2)
            source_pitch = tl.multiple_of(source_pitch, 2)
            pitch = tl.multiple_of(pitch, 2)
        different = tl.zeros((ROWS, WORDS), dtype=tl.int32)
        for r0 in range(0, rows, ROWS):
            r = r0 + tl.arange(0, ROWS).to(tl.int64)
            for c0 in range(0, words, WORDS):
                c = c0 + tl.arange(0, WORDS)
                mask = (r < rows)[:, None] & (c < words)[None, :]
                a = tl.load(source + r[:, None] * source_pitch + c[None, :], mask=mask, other=0)
                b = tl.load(destination + r[:, None] * pitch + c[None, :], mask=mask, other=0)
                different += (a != b).to(tl.int32)
        tl.store(unequal + i, tl.sum(tl.sum(different, axis=1), axis=0))
        i += PROGRAMS


def launch_copy(table: Any, words: WordTable, count: int, programs: int) -> None:
    """Queues the copy of the first `count` pieces of a table that is on the device."""
    copy_kernel[(programs,)](table, count, num_warps=8, **_options(words, programs))


def launch_compare(table: Any, unequal: Any, words: WordTable, count: int, programs: int) -> None:
    """Queues the comparison of the first `count` pieces; `unequal` gets a number for each."""
    compare_kernel[(programs,)](table, unequal, count, num_warps=8, **_options(words, programs))


def _options(words: WordTable, programs: int) -> dict[str, Any]:
    """Returns compile-time constants. They must not depend on the number of pieces: each value is a compilation."""
    return {
        "PROGRAMS": programs,
        "WORD": _WORDS[words.word_bytes],
        "PAIRS": words.word_bytes == 16,
        "ROWS": words.tile_rows,
        "WORDS": words.tile_words,
    }
