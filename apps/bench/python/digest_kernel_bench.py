"""Checks the digest kernels on one GPU against the reference on the host, and measures them. Needs torch, triton, numpy.

    PYTHONPATH=python/worker/src python apps/bench/python/digest_kernel_bench.py [--gib 4] [--device cuda]

Prints one JSON object per line; the last one has `"wrong": 0` if everything was right. Otherwise the exit status is 1.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from checkpoint_engine_worker.digest import WORD_KEYS, digest_rows
from checkpoint_engine_worker.digest.device import device_digests, digest_pieces, upload_pieces, warm_digests
from checkpoint_engine_worker.digest.kernel import digest_segments

WRONG = 0


def say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


def check(name: str, right: bool) -> None:
    global WRONG
    WRONG += not right
    say(check=name, right=right)


def synchronize(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def best(device: str, run: Callable[[], object], times: int = 5) -> float:
    """The shortest of some runs, in seconds; each one ends with the device idle."""
    found = []
    for _ in range(times):
        synchronize(device)
        started = time.perf_counter()
        run()
        synchronize(device)
        found.append(time.perf_counter() - started)
    return min(found)


def random_pieces(held: Any, data: Any, count: int, seed: int) -> tuple[Any, list[int]]:
    """Creates pieces of every kind: wide and narrow rows, at multiples of 4 bytes and at odd offsets."""
    random = np.random.default_rng(seed)
    pieces, expected = [], []
    for kind in range(count):
        unit = 4 if kind % 2 else 1
        rows = int(random.integers(2, 40)) if kind % 3 else 1
        width = int(random.integers(1, 3000 if kind % 5 else 70_000)) * unit
        pitch = width + int(random.integers(0, 20)) * unit
        offset = int(random.integers(0, 500)) * unit
        if offset + rows * pitch > len(data):
            rows, width = 1, len(data) // 2
        position = int(random.integers(0, 1 << 34)) * unit
        position_pitch = width + int(random.integers(0, 9)) * unit
        pieces.append([position, held.data_ptr() + offset, rows, width, position_pitch, pitch])
        view = np.lib.stride_tricks.as_strided(data[offset:], (rows, width), (pitch, 1))
        expected.append(digest_rows(view, position, position_pitch))
    return np.array(pieces, dtype=np.int64), expected


def check_kernels(device: str, programs: int) -> None:
    data = np.random.default_rng(3).integers(0, 256, 8 << 20 if device != "cpu" else 1 << 18, dtype=np.uint8)
    held = torch.from_numpy(data).to(device)
    table, expected = random_pieces(held, data, 400 if device != "cpu" else 12, 11)
    found = device_digests(table, np.arange(len(table)), len(table), device, programs=programs)
    check("pieces of every kind", found.tolist() == expected)
    together = device_digests(table, np.zeros(len(table), dtype=np.int64), 1, device, programs=programs)
    check("sums of several pieces", int(together[0]) == sum(expected) % 2**64)
    before = int(found[0])
    held.view(torch.uint8)[int(table[0, 1]) - held.data_ptr()] ^= 16
    after = device_digests(table[:1], np.zeros(1, dtype=np.int64), 1, device, programs=programs)
    check("a flipped bit", int(after[0]) != before)


def measure(device: str, gib: float) -> None:
    size = int(gib * 2**30) // (1 << 20) * (1 << 20)
    memory = torch.randint(-(2**31), 2**31 - 1, (size // 4,), dtype=torch.int32, device=device)
    base = memory.data_ptr()
    floor = best(device, lambda: memory.sum())
    say(measure="floor: the sum of all words by torch", bytes=size, gb_per_s=size / floor / 1e9)
    tensors = 400
    each = size // tensors // 4 * 4
    whole = np.array([[0, base + at * each, 1, each, 0, 0] for at in range(tensors)], dtype=np.int64)
    row = 1792
    rows = size // (row * 4)
    narrow = np.array([[0, base, rows, row, row * 4, row * 4]], dtype=np.int64)
    short = np.array([[0, base, size // 1024, 256, 1024, 1024]], dtype=np.int64)
    odd = np.array([[1, base + 1, 1, (size // 8) - 1, 0, 0]], dtype=np.int64)
    sample = np.array([[at << 20, base + at * (size // 240) // 4 * 4, 1, 256 << 10, 0, 0] for at in range(240)])
    row_sample = np.array([[at << 20, base + at * (size // 240) // 4 * 4, 146, row, row * 4, row] for at in range(240)])
    cases = (
        ("400 tensors", whole),
        ("rows of 1,792 of 7,168 bytes", narrow),
        ("rows of 256 of 1,024 bytes", short),
        ("at odd places", odd),
        ("sample: 240 windows of 256 KiB", sample),
        ("sample: 240 windows of 146 rows of 1,792 bytes", row_sample),
    )
    for name, table in cases:
        sums = np.arange(len(table))
        size_bytes = int((table[:, 2] * table[:, 3]).sum())
        count = len(sums)
        prepare = best(device, lambda: upload_pieces(table, sums, count, device))  # noqa: B023
        pieces = upload_pieces(table, sums, count, device)
        seconds = best(device, lambda: digest_pieces(pieces), 10)  # noqa: B023
        figures = {"bytes": size_bytes, "ms": seconds * 1e3, "gb_per_s": size_bytes / seconds / 1e9}
        say(measure=name, **figures, prepare_ms=prepare * 1e3, pieces=len(pieces.table))
    tune(device, "400 tensors", whole, 4, (256, 512, 1024))
    tune(device, "rows of 1,792 of 7,168 bytes", narrow, 4, (256, 512, 1024))
    tune(device, "rows of 256 of 1,024 bytes", short, 4, (32, 64, 128))
    tune(device, "at odd places", odd, 1, (256, 512, 1024))
    say(measure="peak device memory", bytes=torch.cuda.max_memory_allocated() - size if device != "cpu" else 0)


def tune(device: str, name: str, table: Any, unit: int, widths: tuple[int, ...]) -> None:
    """Measures the kernel alone, with other tiles."""
    size_bytes = int((table[:, 2] * table[:, 3]).sum())
    keys = torch.from_numpy(WORD_KEYS.astype(np.uint32).view(np.int32)).to(device)
    sums = torch.zeros(len(table), dtype=torch.int64, device=device).view(torch.uint64)
    for programs in (1056, 2112, 4224):
        pieces = upload_pieces(table, np.arange(len(table)), len(table), device, programs=programs)
        for tile, columns, warps in itertools.product((1024, 2048, 4096), widths, (2, 4, 8)):

            def launch() -> None:
                digest_segments[(programs,)](
                    pieces.table,  # noqa: B023
                    sums,
                    keys,
                    0,
                    len(pieces.table),  # noqa: B023
                    PROGRAMS=programs,  # noqa: B023
                    UNIT=unit,
                    SEGMENTS=tile // columns,  # noqa: B023
                    COLUMNS=columns,  # noqa: B023
                    num_warps=warps,  # noqa: B023
                )

            launch()
            seconds = best(device, launch)
            tiles = {"programs": programs, "tile": tile, "columns": columns, "warps": warps}
            say(tune=name, **tiles, ms=seconds * 1e3, gb_per_s=size_bytes / seconds / 1e9)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--gib", type=float, default=4)
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    started = time.perf_counter()
    if options.device != "cpu":
        warm_digests(options.device)
        synchronize(options.device)
    say(measure="compilation of all kernels", ms=(time.perf_counter() - started) * 1e3)
    check_kernels(options.device, 4 if options.device == "cpu" else 1056)
    if options.device != "cpu":
        measure(options.device, options.gib)
    say(wrong=WRONG)
    return 1 if WRONG else 0


if __name__ == "__main__":
    sys.exit(main())
