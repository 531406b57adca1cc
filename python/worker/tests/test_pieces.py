"""Compares the kernels, in Triton's interpreter, and the copies on the host with explicit copies."""

from __future__ import annotations

import os

os.environ["TRITON_INTERPRET"] = "1"  # before the kernels are defined

import ctypes

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from checkpoint_engine_worker.copying.copier import HostCopier
from checkpoint_engine_worker.recorder.boxes import boxes_of
from checkpoint_engine_worker.tables import copy_engines
from checkpoint_engine_worker.tables.host_pieces import copy_pieces, equal_pieces
from checkpoint_engine_worker.tables.pieces import cut
from checkpoint_engine_worker.tables.word_tables import TILE_WIDTHS, every_kind, word_tables

SIZE = 1 << 16


class Memory:
    """Source and destination, and pieces between them that do not overlap."""

    def __init__(self, seed: int) -> None:
        self.source = ctypes.create_string_buffer(SIZE)
        self.destination = ctypes.create_string_buffer(SIZE)
        random = np.random.default_rng(seed)
        self.a = np.frombuffer(self.source, dtype=np.uint8)
        self.b = np.frombuffer(self.destination, dtype=np.uint8)
        self.a[:] = random.integers(0, 256, SIZE)
        self.b[:] = random.integers(0, 256, SIZE)

    def table(self, pieces: list[tuple[int, int, int, int, int]]) -> npt.NDArray[np.int64]:
        """(source offset, rows, row bytes, source pitch, pitch): destinations are adjacent."""
        at, rows = 0, []
        base = -(-ctypes.addressof(self.destination) // 16) * 16
        for source, count, row_bytes, source_pitch, pitch in pieces:
            span = (count - 1) * pitch + row_bytes
            if at + span + 32 > SIZE or source + (count - 1) * source_pitch + row_bytes + 16 > SIZE:
                continue
            start = -(-ctypes.addressof(self.source) // 16) * 16
            rows.append((start + source, base + at, count, row_bytes, source_pitch, pitch))
            at += span + source % 16
        return np.array(rows, dtype=np.int64).reshape(-1, 6)


def reference(memory: Memory, table: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """Returns the expected destination, byte by byte."""
    wanted = memory.b.copy()
    a, b = ctypes.addressof(memory.source), ctypes.addressof(memory.destination)
    for source, destination, rows, row_bytes, source_pitch, pitch in table.tolist():
        for r in range(rows):
            for i in range(row_bytes):
                wanted[destination - b + r * pitch + i] = memory.a[source - a + r * source_pitch + i]
    return wanted


UNITS = st.sampled_from([1, 2, 4, 8, 16])


@st.composite
def piece(draw: st.DrawFn) -> tuple[int, int, int, int, int]:
    unit = draw(UNITS)
    row_bytes = draw(st.integers(1, 40)) * unit
    gap, source_gap = draw(st.integers(0, 3)) * unit, draw(st.integers(0, 5)) * unit
    repeated = draw(st.integers(0, 9)) == 0
    source_pitch = 0 if repeated else row_bytes + source_gap
    return (draw(st.integers(0, 50)) * unit, draw(st.integers(1, 6)), row_bytes, source_pitch, row_bytes + gap)


PIECES = st.lists(piece(), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(pieces=PIECES, cut_bytes=st.integers(16, 300), seed=st.integers(0, 99))
def test_host_copies_and_comparisons(pieces: list[tuple[int, int, int, int, int]], cut_bytes: int, seed: int) -> None:
    memory = Memory(seed)
    table = memory.table(pieces)
    wanted = reference(memory, table)
    parts, parent = cut(table, cut_bytes)
    assert HostCopier().equal(table).shape == (len(table),)
    assert (parts[:, 2] * parts[:, 3] <= max(cut_bytes, 1)).all()
    assert int((parts[:, 2] * parts[:, 3]).sum()) == int((table[:, 2] * table[:, 3]).sum())
    copy_pieces(parts)
    assert np.array_equal(memory.b, wanted)
    assert equal_pieces(parts).all()
    if len(table):
        # One byte of one piece differs: only that piece is unequal.
        last = table[-1]
        offset = int(last[1] - ctypes.addressof(memory.destination) + (last[2] - 1) * last[5] + last[3] - 1)
        memory.b[offset] ^= 1
        equal = equal_pieces(parts)
        assert not equal.all()
        assert set(parent[~equal].tolist()) == {len(table) - 1}
        assert HostCopier().equal(table).tolist() == [i < len(table) - 1 for i in range(len(table))]


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(pieces=PIECES, programs=st.integers(1, 3), seed=st.integers(0, 99))
def test_kernels_copy_and_compare(pieces: list[tuple[int, int, int, int, int]], programs: int, seed: int) -> None:
    pytest.importorskip("triton")
    from checkpoint_engine_worker.copying.pull_kernels import launch_compare, launch_copy

    memory = Memory(seed)
    table = memory.table(pieces)
    wanted = reference(memory, table)
    equal = np.zeros(len(table), dtype=np.bool_)
    kinds = word_tables(table)
    assert sorted(i for kind in kinds for i in kind.piece.tolist()) == list(range(len(table)))
    for kind in kinds:
        launch_copy(torch.from_numpy(kind.table), kind, len(kind.table), programs)
    assert np.array_equal(memory.b, wanted)
    if len(table):
        memory.b[int(table[0, 1]) - ctypes.addressof(memory.destination)] ^= 128
    for kind in kinds:
        unequal = torch.full((len(kind.table),), -1, dtype=torch.int32)
        launch_compare(torch.from_numpy(kind.table), unequal, kind, len(kind.table), programs)
        equal[kind.piece] = unequal.numpy() == 0
    assert equal.tolist() == [i > 0 for i in range(len(table))]


@settings(max_examples=200, deadline=None)
@given(
    shape=st.lists(st.integers(1, 5), max_size=4),
    seed=st.integers(0, 1 << 30),
)
def test_boxes_are_the_bytes_of_a_strided_copy(shape: list[int], seed: int) -> None:
    generator = np.random.default_rng(seed)
    a = torch.arange(1 << 14, dtype=torch.int16)
    b = torch.zeros(1 << 14, dtype=torch.int16)

    def strides() -> list[int]:
        made, step = [0] * len(shape), 1
        for dim in generator.permutation(len(shape)).tolist():
            made[dim] = step * int(generator.integers(1, 3))
            step = made[dim] * shape[dim]
        return made

    source, destination = strides(), strides()
    if generator.integers(0, 3) == 0 and shape:
        source[int(generator.integers(0, len(shape)))] = 0
    wanted = b.clone()
    torch.as_strided(wanted, shape, destination, 3).copy_(torch.as_strided(a, shape, source, 5))
    found = boxes_of(shape, source, destination, 2)
    assert found is not None
    rows = [(a.data_ptr() + 10 + s, b.data_ptr() + 6 + d, *rest) for s, d, *rest in found]
    copy_pieces(np.array(rows, dtype=np.int64).reshape(-1, 6))
    assert torch.equal(b, wanted)


def test_a_transposed_matrix_of_a_model_is_too_scattered_for_a_table() -> None:
    found = boxes_of((70_000, 70_000), (1, 70_000), (70_000, 1), 2)
    assert found is None


def test_the_kinds_to_compile_for_are_all_that_a_table_can_have() -> None:
    keys = {kind.key for kind in word_tables(every_kind())}
    assert keys == {(word, tile) for word in (1, 2, 4, 8, 16) for tile in TILE_WIDTHS}


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(pieces=PIECES, cut_bytes=st.integers(16, 300), run_bytes=st.integers(16, 400), seed=st.integers(0, 99))
def test_the_share_of_the_copy_engines(
    pieces: list[tuple[int, int, int, int, int]], cut_bytes: int, run_bytes: int, seed: int
) -> None:
    memory = Memory(seed)
    whole = memory.table(pieces)
    wanted = reference(memory, whole)
    table, _ = cut(whole, cut_bytes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copy_engines, "RUN_BYTES", run_bytes)
        patch.setattr(copy_engines, "ROW_BYTES", 8)
        patch.setattr(copy_engines, "ROWS_BYTES", 64)
        share = copy_engines.for_copy_engines(table)
    assert (share.runs[:, 3] >= run_bytes).all()
    assert (share.rows[:, 4] >= share.rows[:, 3]).all()
    total = sum(int((part[:, 2] * part[:, 3]).sum()) for part in (share.runs, share.rows, share.rest))
    assert total == int((table[:, 2] * table[:, 3]).sum())
    for part in (share.runs, share.rows, share.rest):
        copy_pieces(part)
    assert np.array_equal(memory.b, wanted)


def test_adjacent_pieces_are_not_joined_for_the_copy_engines() -> None:
    """They may be in different allocations, and the driver refuses a copy over the end of one."""
    size = 4 << 20
    rows = [(1 << 40) + i * size for i in range(4)]
    table = np.array([(row, row + (1 << 41), 1, size, 0, 0) for row in (rows[2], rows[0], rows[3], rows[1])])
    share = copy_engines.for_copy_engines(table)
    assert sorted(share.runs[:, 0].tolist()) == rows
    assert set(share.runs[:, 3].tolist()) == {size}
    assert len(share.rows) == len(share.rest) == 0
