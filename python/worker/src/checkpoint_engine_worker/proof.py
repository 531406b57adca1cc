"""Compares what a recording says with the engine's live parameters, right after an ordinary load. Imports torch.

    prove(recording, places, regions, device).accept(recording, fingerprint_of(engine, metas))

Only modules whose every copied byte is equal become *direct*. The others are *staged* (the engine changes what it
loaded) or *opaque* (the recorder could not follow the loader).
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from checkpoint_engine_worker.casts import CastPull
from checkpoint_engine_worker.copier import Copier, copier_for
from checkpoint_engine_worker.pieces import BoxIndex
from checkpoint_engine_worker.pull_types import MappedRegion, Places
from checkpoint_engine_worker.recording import OWNER, ROW_BYTES, ROWS, Recording, Verdict

#: Pieces compared at once, so that their table stays small on the device.
_BATCH = 1 << 16


@dataclass(frozen=True)
class ProofResult:
    """Verdicts by group of modules, for `Recording.accept`."""

    verdicts: tuple[Verdict, ...]
    proved_ms: float
    compared_bytes: int

    def accept(self, recording: Recording, fingerprint: str) -> None:
        """Hands the verdicts to the recording; `fingerprint` is the engine's of now (`fingerprint_of`)."""
        recording.accept(self.verdicts, self.proved_ms, fingerprint)


def prove(
    recording: Recording,
    places: Places,
    regions: Mapping[int, MappedRegion],
    device: Any,
    *,
    derived: Collection[str] = (),
    copier: Copier | None = None,
) -> ProofResult:
    """Proves the recording. The regions hold exactly what the engine loaded last; the engine is only read.

    `derived` are modules that hold values which the engine computes from weights (`derived.changed_modules`). They are
    left to the engine, which computes them again; where they load nothing, what is around them is.
    """
    started = time.monotonic()
    copier = copier or copier_for(device)
    in_use = np.array([live is not None for live in recording.live], dtype=np.bool_)
    candidates = np.flatnonzero(in_use[recording.boxes[:, OWNER]])
    boxes = recording.boxes[candidates]
    mapped: dict[int, MappedRegion] = {}
    try:
        for number, region in regions.items():
            mapped[number] = copier.register(region)
        pieces = BoxIndex(boxes, recording.live_addresses()).pieces(places, mapped)
        equal = np.ones(len(boxes), dtype=np.bool_)
        for at in range(0, len(pieces.table), _BATCH):
            part = slice(at, at + _BATCH)
            same = copier.equal(np.ascontiguousarray(pieces.table[part]))
            equal[pieces.box[part][~same]] = False
        seen = np.bincount(pieces.box, weights=pieces.table[:, 2] * pieces.table[:, 3], minlength=len(boxes)).astype(
            np.int64
        )
    finally:
        for number in mapped:
            copier.unregister(regions[number])
    missing = seen != boxes[:, ROWS] * boxes[:, ROW_BYTES]
    casts = [cast for cast in recording.casts if recording.live[cast.owner] is not None]
    results = CastPull(recording, casts).equal(places, regions)
    verdicts = _verdicts(recording, boxes, equal, missing, {c: results.get(c) for c in casts})
    _lower_derived(recording, verdicts, derived)
    return ProofResult(tuple(verdicts), (time.monotonic() - started) * 1e3, pieces.size_bytes)


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
    lower(np.unique(boxes[missing, OWNER]).tolist(), "opaque", "its bytes were not at hand for the proof")
    lower([c.owner for c, same in casts.items() if same is None], "opaque", "its bytes were not at hand for the proof")
    written = {*np.unique(recording.boxes[:, OWNER]).tolist(), *(cast.owner for cast in recording.casts)}
    gone = [owner for owner in written if recording.live[owner] is None]
    lower(gone, "staged", "the engine keeps it in another form than it is loaded in")
    for owner, reason in recording.transformed.items():
        lower([owner], "staged", reason)
    unequal = [*np.unique(boxes[~equal, OWNER]).tolist(), *(c.owner for c, same in casts.items() if same is False)]
    lower(unequal, "staged", "the engine changes its values after they are loaded")
    return verdicts
