"""Removes duplicates from the needs of a worker. Does not import torch."""

from __future__ import annotations

import numpy as np

from checkpoint_engine_worker.pull_types import Int64s


def without_contained(columns: Int64s) -> Int64s:
    """Drops single runs inside another single run of the same tensor. The columns are sorted."""
    single = columns[:, 2] == 1
    runs = columns[single]
    if not len(runs):
        return columns
    order = np.lexsort((-runs[:, 3], runs[:, 1], runs[:, 0]))
    runs = runs[order]
    # The ends of runs are comparable across tensors, because each tensor has its own base.
    stride = int((runs[:, 1] + runs[:, 3]).max()) + 1
    ends = runs[:, 0] * stride + runs[:, 1] + runs[:, 3]
    before = np.concatenate([[-1], np.maximum.accumulate(ends)[:-1]])
    kept = runs[ends > before]
    return np.concatenate([kept, columns[~single]])
