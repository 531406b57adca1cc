"""Host memory that a parameter server shares for pulls, mapped read-only and kept between sessions."""

from __future__ import annotations

import mmap
from collections.abc import Iterable

import numpy as np

from checkpoint_engine_worker.memory.host_memory import map_segment
from checkpoint_engine_worker.pull_types import MappedRegion, RegionName


class RegionMaps:
    """The regions of one layout."""

    def __init__(self) -> None:
        self._maps: dict[tuple[bytes, int], MappedRegion] = {}

    def open(self, regions: Iterable[RegionName]) -> dict[int, MappedRegion]:
        """Maps regions by id. Keeps existing mappings, and releases others.

        Raises:
            CheckpointEngineError: `CE_SHM_FAILED`. In this case nothing is mapped.
        """
        wanted = list(regions)
        kept = {(handle, size): self._maps.get((handle, size)) for _, handle, size in wanted}
        self._maps.clear()
        try:
            for (handle, size), mapped in kept.items():
                self._maps[handle, size] = mapped or _map(handle, size)
        except BaseException:
            self._maps.clear()
            raise
        return {number: self._maps[handle, size] for number, handle, size in wanted}

    def close(self) -> None:
        """Releases the mappings: each ends with its last reference. Idempotent."""
        self._maps.clear()


def _map(handle: bytes, size_bytes: int) -> MappedRegion:
    mapping: mmap.mmap = map_segment(handle, size_bytes, writable=False)
    view = np.frombuffer(mapping, dtype=np.uint8)
    return MappedRegion(int(view.ctypes.data), size_bytes, keep=(mapping, view))
