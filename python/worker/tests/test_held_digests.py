"""Digests of a recorded engine's data: windows, slices, copies of one box, and damage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from checkpoint_engine_worker.digest import digest_bytes, digest_rows
from checkpoint_engine_worker.protocol.pull_columns import decode_windows
from checkpoint_engine_worker.pull_types import Needs, Windows
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

pytest.importorskip("torch")


class FakeRecording:
    """The part of a recording that digests need: boxes as rows of (tensor, source, rows, row bytes, pitch, owner)."""

    def __init__(self, boxes: Sequence[tuple[int, ...]], memories: list[Any]) -> None:
        self._boxes = np.zeros(
            (len(boxes), 1 + max(SOURCE, ROWS, OWNER, DESTINATION, DESTINATION_PITCH, TENSOR, 8)), dtype=np.int64
        )
        for at, (tensor, source, rows, row_bytes, pitch, owner, destination, step) in enumerate(boxes):
            row = self._boxes[at]
            row[TENSOR], row[SOURCE], row[ROWS], row[ROW_BYTES], row[SOURCE_PITCH] = (
                tensor,
                source,
                rows,
                row_bytes,
                pitch,
            )
            row[OWNER], row[DESTINATION], row[DESTINATION_PITCH] = owner, destination, step
        self._memories = memories

    def direct_boxes(self) -> Any:
        return self._boxes

    def live_addresses(self) -> Any:
        return np.array([memory.ctypes.data for memory in self._memories], dtype=np.int64)

    def needs(self) -> Needs:
        boxes = self._boxes
        pitch = np.where(boxes[:, ROWS] == 1, boxes[:, ROW_BYTES], boxes[:, SOURCE_PITCH])
        columns = np.unique(
            np.stack([boxes[:, TENSOR], boxes[:, SOURCE], boxes[:, ROWS], boxes[:, ROW_BYTES], pitch], axis=1), axis=0
        )
        rest = np.zeros(0, dtype=np.uint32)
        offset, rows, row_bytes, pitches = (columns[:, at].copy() for at in range(1, 5))
        return Needs(columns[:, 0].astype(np.uint32), offset, rows, row_bytes, pitches, rest)


def digests(recording: Any, windows: list[tuple[int, int, int]]) -> tuple[list[int], list[int]]:
    from checkpoint_engine_worker.copying.copier import copier_for
    from checkpoint_engine_worker.pull.held_digests import HeldIndex

    columns = np.array(windows, dtype=np.int64).reshape(-1, 3)
    given = Windows(columns[:, 0].astype(np.uint32), columns[:, 1].copy(), columns[:, 2].copy())
    found, held = HeldIndex(recording, copier_for("cpu")).digests(given)
    return found.tolist(), held.tolist()


def data(size: int, seed: int) -> Any:
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


def test_whole_tensors_and_parts_of_them() -> None:
    first, second = data(5000, 1), data(33, 2)
    memory = np.concatenate([first, second])
    recording = FakeRecording([(0, 0, 1, 5000, 0, 0, 0, 0), (3, 0, 1, 33, 0, 0, 5000, 0)], [memory])
    found, held = digests(recording, [(0, 0, 5000), (3, 0, 33)])
    assert found == [digest_bytes(first), digest_bytes(second)]
    assert held == [5000, 33]
    found, held = digests(recording, [(0, 0, 100), (0, 100, 4096), (0, 4999, 1), (1, 0, 8), (3, 30, 3)])
    wanted = [digest_bytes(first[:100]), digest_bytes(first[100:4196], 100), digest_bytes(first[4999:], 4999), 0]
    assert found == [*wanted, digest_bytes(second[30:], 30)]
    assert held == [100, 4096, 1, 0, 3]
    assert digests(recording, []) == ([], [])


def test_columns_are_digested_at_their_positions() -> None:
    tensor = data(40 * 96, 3).reshape(40, 96)
    half = np.ascontiguousarray(tensor[:, 32:])
    recording = FakeRecording([(0, 32, 40, 64, 96, 0, 0, 64)], [half])
    found, held = digests(recording, [(0, 0, 40 * 96)])
    assert found == [digest_rows(half, 32, 96)]
    assert held == [40 * 64]
    left = digest_rows(np.ascontiguousarray(tensor[:, :32]), 0, 96)
    assert (found[0] + left) % 2**64 == digest_bytes(tensor.reshape(-1))


def test_copies_of_a_box_count_once_and_must_be_equal() -> None:
    tensor = data(800, 4)
    tied = [tensor.copy(), tensor.copy()]
    boxes = [(0, 0, 1, 800, 0, 0, 0, 0), (0, 0, 1, 800, 0, 1, 0, 0)]
    assert digests(FakeRecording(boxes, tied), [(0, 0, 800)]) == ([digest_bytes(tensor)], [800])
    for damaged in (0, 1):
        memories = [copy.copy() for copy in tied]
        memories[damaged][13] ^= 4
        assert digests(FakeRecording(boxes, memories), [(0, 0, 800)])[0] != [digest_bytes(tensor)]


def test_a_flipped_bit_changes_only_its_window() -> None:
    tensor = data(10_000, 5)
    recording = FakeRecording([(0, 0, 1, 10_000, 0, 0, 0, 0)], [tensor])
    windows = [(0, 0, 4096), (0, 4096, 4096), (0, 8192, 1808)]
    before, _ = digests(recording, windows)
    tensor[5000] ^= 128
    after, _ = digests(recording, windows)
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True]


def test_repeated_windows_are_read_again() -> None:
    from checkpoint_engine_worker.copying.copier import copier_for
    from checkpoint_engine_worker.pull.held_digests import HeldIndex

    tensor = data(5000, 6)
    recording: Any = FakeRecording([(0, 0, 1, 5000, 0, 0, 0, 0)], [tensor])
    index = HeldIndex(recording, copier_for("cpu"))

    def ask(size: int) -> tuple[int, int]:
        columns = np.zeros(1, dtype=np.uint32), np.zeros(1, dtype=np.int64), np.array([size], dtype=np.int64)
        found, held = index.digests(Windows(*columns))
        return int(found[0]), int(held[0])

    assert ask(5000) == (digest_bytes(tensor), 5000)
    tensor[17] ^= 2
    assert ask(5000) == (digest_bytes(tensor), 5000)
    assert ask(4000) == (digest_bytes(tensor[:4000]), 4000)


@pytest.mark.parametrize(
    ("tensor", "offset", "size"),
    [([2], [0], [1]), ([0], [0], [11]), ([1, 0], [0, 0], [1, 1]), ([0, 0], [0, 3], [4, 1]), ([0], [0], [])],
)
def test_invalid_windows(tensor: list[int], offset: list[int], size: list[int]) -> None:
    columns = {
        "tensor": np.array(tensor, dtype="<u4").tobytes(),
        "offset": np.array(offset, dtype="<u8").tobytes(),
        "size": np.array(size, dtype="<u8").tobytes(),
    }
    with pytest.raises(ValueError, match=r"window|tensor|columns"):
        decode_windows(columns, np.array([10, 20], dtype=np.int64))
