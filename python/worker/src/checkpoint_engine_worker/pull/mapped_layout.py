"""Mapped regions of host memory, their contents, and prepared copies from them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from checkpoint_engine_worker.copying.copier import copier_for
from checkpoint_engine_worker.copying.pull_table import PullTable
from checkpoint_engine_worker.memory.region_maps import RegionMaps

if TYPE_CHECKING:
    from checkpoint_engine_worker.pull_types import MappedRegion, Places, RegionName
    from checkpoint_engine_worker.recording.recording import Recording


class MappedLayout:
    """One layout. Page-locking its regions is slow, so it happens here and not during a pull.

    Raises:
        CheckpointEngineError: `CE_SHM_FAILED`, `CE_DEVICE_FAILED`. In these cases nothing is mapped.
    """

    def __init__(self, regions: Iterable[RegionName], places: Places, device: Any) -> None:
        self.places = places
        self._device = device
        self._maps = RegionMaps()
        self.regions: dict[int, MappedRegion] = {}
        self._copier = copier_for(device)
        self._table: PullTable | None = None
        #: Whether there are places for all needed bytes.
        self._is_whole = False
        opened = self._maps.open(regions)
        try:
            for number, region in opened.items():
                self._copier.register(region)
                self.regions[number] = region
        except BaseException:
            self.close()
            raise

    def prepare(self, recording: Recording | None) -> None:
        """Builds the table of copies if the recording is proved and there is no table yet."""
        if self._table is not None or recording is None or not recording.proved:
            return
        needs = recording.needs()
        # Data that streams from files or comes from other hosts is not in a layout: it passes through a ring.
        self._is_whole = bool(np.isin(needs.tensor, self.places.tensor).all())
        self._table = PullTable(recording, self.places if self._is_whole else None, self.regions, self._device)

    def pull(self, places: Places | None) -> int:
        """Copies what the engine needs of the layout, or of these places. Returns the bytes."""
        if self._table is None:
            raise ValueError("No copies are prepared")
        if places is None and not self._is_whole:
            places = self.places
        return self._table.execute(places)

    def close_table(self) -> None:
        """Ends the use of the copies. Idempotent."""
        table, self._table = self._table, None
        if table is not None:
            table.close()

    def close(self) -> None:
        """Ends page-locking, and unmaps the regions. Idempotent."""
        self.close_table()
        regions, self.regions = self.regions, {}
        for region in regions.values():
            self._copier.unregister(region)
        self._maps.close()
