"""Compares the kernels with the reference on one device: `python digest_kernel_check.py cuda`, or `cpu` in Triton's
interpreter (TRITON_INTERPRET=1).
"""

from __future__ import annotations

import sys

import numpy as np
import torch

from checkpoint_engine_worker.digest import digest_rows
from checkpoint_engine_worker.digest.device import device_digests


def main(device: str) -> int:
    random = np.random.default_rng(7)
    data = random.integers(0, 256, 3 << 20 if device != "cpu" else 1 << 18, dtype=np.uint8)
    held = torch.from_numpy(data).to(device)
    pieces, expected = [], []
    for kind in range(40):
        unit = 4 if kind % 2 else 1
        rows = int(random.integers(1, 9)) if kind % 3 else 1
        width = int(random.integers(1, 9000 if kind % 5 else 20_000)) * unit
        pitch = width + int(random.integers(0, 20)) * unit
        offset = int(random.integers(0, 500)) * unit
        while offset + rows * pitch > len(data):
            rows, width, pitch = 1, width // 2 // 4 * 4, width // 2 // 4 * 4
        position = int(random.integers(0, 1 << 20)) * unit
        position_pitch = width + int(random.integers(0, 9)) * unit
        pieces.append([position, held.data_ptr() + offset, rows, width, position_pitch, pitch])
        view = np.lib.stride_tricks.as_strided(data[offset:], (rows, width), (pitch, 1))
        expected.append(digest_rows(view, position, position_pitch))
    table = np.array(pieces, dtype=np.int64)
    programs = 4 if device == "cpu" else 264
    found = device_digests(table, np.arange(len(table)), len(table), device, programs=programs)
    wrong = [at for at, digest in enumerate(expected) if int(found[at]) != digest]
    print(f"different: {wrong}" if wrong else "all equal")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "cuda"))
