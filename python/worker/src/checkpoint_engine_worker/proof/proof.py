"""Compares a recording with the engine's live parameters, directly after an ordinary load. Imports torch.

    prove(recording, places, regions, device).accept(recording, fingerprint_of(engine, metas))

Only modules of which every copied byte is equal become *direct*. The others are *staged* (the engine changes the loaded
values) or *opaque* (the recorder could not follow the loader).
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from checkpoint_engine_worker.copying.casts import CastPull
from checkpoint_engine_worker.copying.copier import Copier, copier_for
from checkpoint_engine_worker.pull_types import MappedRegion, Places
from checkpoint_engine_worker.recording.recording import OWNER, ROW_BYTES, ROWS, CastNote, Recording, Verdict
from checkpoint_engine_worker.tables.pieces import P_ROW_BYTES, P_ROWS, BoxIndex

#: Number of pieces compared at once, so that their table stays small on the device.
_BATCH = 1 << 16


@dataclass(frozen=True)
class ProofResult:
    """Verdicts by group of modules, for `Recording.accept`."""

    verdicts: tuple[Verdict, ...]
    proved_ms: float
    compared_bytes: int

    def accept(self, recording: Recording, fingerprint: str) -> None:
        """Passes the verdicts to the recording; `fingerprint` is that of the current engine (`fingerprint_of`)."""
        recording.accept(self.verdicts, self.proved_ms, fingerprint)


class Proof:
    """A proof from bytes that arrive in parts, such as from the slots of a ring. It only reads the engine."""

    def __init__(self, recording: Recording, device: Any, *, copier: Copier | None = None) -> None:
        self._recording = recording
        self._copier = copier or copier_for(device)
        in_use = np.array([live is not None for live in recording.live], dtype=np.bool_)
        self._boxes = recording.boxes[np.flatnonzero(in_use[recording.boxes[:, OWNER]])]
        self._index = BoxIndex(self._boxes, recording.live_addresses())
        self._equal = np.ones(len(self._boxes), dtype=np.bool_)
        self._seen = np.zeros(len(self._boxes), dtype=np.int64)
        self._casts = [cast for cast in recording.casts if recording.live[cast.owner] is not None]
        self._gathering = CastPull(recording, self._casts)
        self._converted: dict[CastNote, bool] = {}
        self._compared_ms = 0.0

    def compare(self, places: Places, regions: Mapping[int, MappedRegion]) -> None:
        """Compares the data at these places, which the engine loaded last. They may be overwritten afterwards."""
        started = time.monotonic()
        mapped: dict[int, MappedRegion] = {}
        try:
            for number, region in regions.items():
                mapped[number] = self._copier.register(region)
            pieces = self._index.pieces(places, mapped)
            for at in range(0, len(pieces.table), _BATCH):
                part = slice(at, at + _BATCH)
                same = self._copier.equal(np.ascontiguousarray(pieces.table[part]))
                self._equal[pieces.box[part][~same]] = False
        finally:
            for number in mapped:
                self._copier.unregister(regions[number])
        np.add.at(self._seen, pieces.box, pieces.table[:, P_ROWS] * pieces.table[:, P_ROW_BYTES])
        self._converted.update(self._gathering.equal(places, regions))
        self._compared_ms += (time.monotonic() - started) * 1e3

    def result(self, derived: Collection[str] = ()) -> ProofResult:
        """Returns the verdicts. The engine loads modules that were not compared completely."""
        missing = self._seen != self._boxes[:, ROWS] * self._boxes[:, ROW_BYTES]
        casts = {cast: self._converted.get(cast) for cast in self._casts}
        verdicts = _verdicts(self._recording, self._boxes, self._equal, missing, casts)
        _lower_derived(self._recording, verdicts, derived)
        return ProofResult(tuple(verdicts), self._compared_ms, int(self._seen.sum()))


def verdicts_of(recording: Recording) -> list[Verdict]:
    """Returns the verdicts for the case that every copied byte is equal: other modules can never be direct."""
    in_use = np.array([live is not None for live in recording.live], dtype=np.bool_)
    boxes = recording.boxes[np.flatnonzero(in_use[recording.boxes[:, OWNER]])]
    none, all_of_them = np.zeros(len(boxes), dtype=np.bool_), np.ones(len(boxes), dtype=np.bool_)
    return _verdicts(recording, boxes, all_of_them, none, dict.fromkeys(recording.casts, True))


def prove(
    recording: Recording,
    places: Places,
    regions: Mapping[int, MappedRegion],
    device: Any,
    *,
    derived: Collection[str] = (),
    copier: Copier | None = None,
) -> ProofResult:
    """Proves the recording at once. The regions must have exactly the data that the engine loaded last.

    This only reads the engine. `derived` are modules with values that the engine computes from weights
    (`derived.changed_modules`). The engine loads them and computes the values again; if they load nothing, the engine
    loads the modules around them.
    """
    proof = Proof(recording, device, copier=copier)
    proof.compare(places, regions)
    return proof.result(derived)


def _lower_derived(recording: Recording, verdicts: list[Verdict], derived: Collection[str]) -> None:
    owner_groups, _ = recording.groups()
    written = {*np.unique(recording.boxes[:, OWNER]).tolist(), *(cast.owner for cast in recording.casts)}
    for module in derived:
        scope, inside = module, set[int]()
        while not inside:
            prefix = f"{scope}." if scope else ""
            inside = {owner for owner in written if recording.owners[owner].path.startswith(prefix)}
            if not scope:
                break
            scope = scope.rpartition(".")[0]
        for owner in inside:
            if verdicts[owner_groups[owner]].kind == "direct":
                verdicts[owner_groups[owner]] = Verdict("staged", f"the engine derives values of {module} from weights")


def _verdicts(
    recording: Recording,
    boxes: npt.NDArray[np.int64],
    equal: npt.NDArray[np.bool_],
    missing: npt.NDArray[np.bool_],
    casts: Mapping[Any, bool | None],
) -> list[Verdict]:
    owner_groups, _ = recording.groups()
    verdicts = [Verdict("direct")] * (int(owner_groups.max(initial=-1)) + 1)

    def lower(owners: Any, kind: str, reason: str) -> None:
        for group in {int(owner_groups[owner]) for owner in owners}:
            if verdicts[group].kind == "direct" or (kind == "opaque" and verdicts[group].kind == "staged"):
                verdicts[group] = Verdict(kind, reason)

    for owner, reason in recording.owner_reasons.items():
        lower([owner], "opaque", reason)
    lower(np.unique(boxes[missing, OWNER]).tolist(), "opaque", "its bytes were not available for the proof")
    lower(
        [c.owner for c, same in casts.items() if same is None], "opaque", "its bytes were not available for the proof"
    )
    written = {*np.unique(recording.boxes[:, OWNER]).tolist(), *(cast.owner for cast in recording.casts)}
    gone = [owner for owner in written if recording.live[owner] is None]
    lower(gone, "staged", "the engine keeps it in another form than the loaded one")
    for owner, reason in recording.transformed.items():
        lower([owner], "staged", reason)
    unequal = [*np.unique(boxes[~equal, OWNER]).tolist(), *(c.owner for c, same in casts.items() if same is False)]
    lower(unequal, "staged", "the engine changes its values after they are loaded")
    return verdicts
