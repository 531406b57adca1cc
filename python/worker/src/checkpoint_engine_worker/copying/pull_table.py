"""Pulls the proved bytes of a recording from mapped regions directly into the engine's parameters. Imports torch.

    table = PullTable(recording, places, regions, device)     # maps, page-locks, compiles: not during an update
    table.execute()                                           # everything in `places`
    table.execute(slot_places)                                # the current content of a ring slot

Bytes of modules that are not direct are never written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from checkpoint_engine_worker.copying.casts import CastPull
from checkpoint_engine_worker.copying.copier import Copier, copier_for
from checkpoint_engine_worker.errors import CheckpointEngineError
from checkpoint_engine_worker.pull_types import MappedRegion, Places
from checkpoint_engine_worker.recording.recording import ROW_BYTES, ROWS, Recording
from checkpoint_engine_worker.tables.pieces import BoxIndex


class PullTable:
    """The copy table of one recording and one layout. `places` may be None if all bytes pass through a ring.

    The caller must have mapped the regions; they stay page-locked until `close`, which is idempotent.
    """

    def __init__(
        self,
        recording: Recording,
        places: Places | None,
        regions: Mapping[int, MappedRegion],
        device: Any,
        *,
        copier: Copier | None = None,
    ) -> None:
        if not recording.proved:
            raise CheckpointEngineError("CE_ENGINE_MISMATCH", "The recording is not proved", "Prove it before pulling")
        self._recording = recording
        self._copier = copier or copier_for(device)
        self._index = BoxIndex(recording.direct_boxes(), recording.live_addresses())
        self._casts = CastPull(recording, recording.direct_casts())
        self._registered = dict(regions)
        self._regions: dict[int, MappedRegion] = {}
        self._places = places
        self._whole: Any = None
        try:
            for number, region in regions.items():
                self._regions[number] = self._copier.register(region)
            if places is not None:
                self._prepare_whole(places)
            else:
                self._copier.warm()
        except BaseException:
            self.close()
            raise

    def execute(self, subset: Places | None = None) -> int:
        """Pulls the needed bytes in the layout, or in the subset. Returns their number when they have arrived."""
        if subset is None:
            if self._whole is None or self._places is None:
                raise ValueError("This table has no layout: pass the places to pull from")
            prepared, size = self._whole
            self._copier.copy(prepared)
            return int(size) + self._casts.pull(self._places, self._registered)
        pieces = self._index.pieces(subset, self._regions)
        if len(pieces.table):
            self._copier.copy(self._copier.prepare(pieces.table))
        return pieces.size_bytes + self._casts.pull(subset, self._registered)

    def close(self) -> None:
        """Ends page-locking. The caller unmaps the regions afterwards."""
        for number in list(self._regions):
            self._copier.unregister(self._registered[number])
            del self._regions[number]
        self._whole = None

    def _prepare_whole(self, places: Places) -> None:
        pieces = self._index.pieces(places, self._regions)
        boxes = self._index.boxes
        wanted = int((boxes[:, ROWS] * boxes[:, ROW_BYTES]).sum())
        if pieces.size_bytes != wanted:
            raise CheckpointEngineError(
                "CE_WORKER_PROTOCOL",
                f"The layout has places for {pieces.size_bytes} of the {wanted} bytes that this worker needs",
                "Report this",
            )
        self._whole = (self._copier.prepare(pieces.table), pieces.size_bytes)
