"""A recording: which bytes of which tensors an engine keeps, where, and what is opaque. Does not import torch.

`recorder.record.record` creates a `Recording`, `proof.proof.prove` proves it, and `copying.pull_table.PullTable`
executes it. `needs()` and `summary()` depend on the proof: before a proof, everything is in `rest`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from checkpoint_engine_worker.errors import CheckpointEngineError
from checkpoint_engine_worker.pull_types import Int64s, Needs, Summary, TensorMeta
from checkpoint_engine_worker.recording.needed_runs import without_contained

#: Columns of a copy table, one row per box. `copy` numbers the copies of the loader; a box belongs to one copy.
COLUMNS = (
    "tensor",
    "owner",
    "copy",
    "source",
    "destination",
    "rows",
    "row_bytes",
    "source_pitch",
    "destination_pitch",
)
TENSOR, OWNER, COPY, SOURCE, DESTINATION, ROWS, ROW_BYTES, SOURCE_PITCH, DESTINATION_PITCH = range(len(COLUMNS))


@dataclass(frozen=True)
class CastNote:
    """A copy that converts: strided views, counted in elements of the named torch types."""

    tensor: int
    owner: int
    shape: tuple[int, ...]
    source_dtype: object
    source_offset: int
    source_strides: tuple[int, ...]
    dtype: object
    offset_bytes: int
    strides: tuple[int, ...]


@dataclass(frozen=True)
class OwnerInfo:
    """A tensor of the engine in the form in which the loader writes it."""

    path: str
    module: str
    module_class: str
    size_bytes: int
    shared_with: tuple[str, ...]


@dataclass(frozen=True)
class LiveTensor:
    """Memory that the engine computes with."""

    address: int
    size_bytes: int
    tensor: Any = field(repr=False)


@dataclass(frozen=True)
class Verdict:
    """`direct`: the bytes are pulled. `staged`: the engine transforms them. `opaque`: only the loader knows."""

    kind: str
    reason: str = ""


@dataclass
class Recording:
    """See the module. `boxes` has the columns `COLUMNS`."""

    tensors: Sequence[TensorMeta]
    owners: Sequence[OwnerInfo]
    boxes: Int64s
    casts: Sequence[CastNote]
    tensor_reasons: dict[int, str]
    owner_reasons: dict[int, str]
    #: Tensors and owners that belong together without a copy between them.
    links: Sequence[tuple[int, int]]
    fingerprint: str
    recorded_ms: float
    #: The engine's tensors in use, by owner; None if an owner has no tensor of its size in use.
    live: Sequence[LiveTensor | None] = ()
    #: Owners that are in use, but with which the engine computes in another form.
    transformed: Mapping[int, str] = field(default_factory=dict)
    #: Returns whether written tensors that the fingerprint does not cover are still at the same place.
    in_place: Callable[[], bool] = field(default=lambda: True, repr=False)
    #: "loader": the engine's loader ran in this process. "cache": it ran in an earlier process.
    source: str = "loader"
    proved_ms: float = 0.0
    #: Groups of modules that are proved through their kind, and the number of kinds.
    represented: frozenset[int] = frozenset()
    kinds: int = 0
    #: By group of modules; None while nothing is proved.
    verdicts: list[Verdict] | None = None
    _needs: Needs | None = field(default=None, repr=False)
    _summary: Summary | None = field(default=None, repr=False)
    _groups: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] | None = field(default=None, repr=False)

    def groups(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """(group of each owner, group of each tensor or -1). Modules that share memory or tensors are one group."""
        if self._groups is None:
            self._groups = _groups(self)
        return self._groups

    def accept(self, verdicts: Iterable[Verdict], proved_ms: float, fingerprint: str) -> None:
        """Applies the verdicts of a proof. Refuses a proof of another fingerprint, which also voids earlier proofs."""
        self.check(fingerprint)
        self.proved_ms = proved_ms
        self._set(list(verdicts))

    def check(self, fingerprint: str) -> None:
        """Raises an error and voids the proof if the engine differs from the recorded one."""
        if fingerprint == self.fingerprint and self.in_place():
            return
        self.void()
        raise CheckpointEngineError(
            "CE_ENGINE_MISMATCH",
            f"The engine changed since it was recorded: fingerprint {fingerprint}, recorded {self.fingerprint}",
            "Record the engine again, then prove it again",
        )

    def void(self) -> None:
        """Drops the proof: nothing is pulled until the next one."""
        self._set(None)

    def represent(self, groups: frozenset[int], kinds: int) -> None:
        """Marks these groups of modules as proved through their kind."""
        self.represented, self.kinds, self._summary = groups, kinds, None

    def lower(self, reasons: Mapping[int, str]) -> None:
        """Sends these groups of modules through the engine's loader from now on."""
        verdicts = list(self.verdicts or ())
        for group, reason in reasons.items():
            verdicts[group] = Verdict("staged", reason)
        kept = (self.represented - set(reasons), self.kinds)
        self._set(verdicts)
        self.represent(*kept)

    def _set(self, verdicts: list[Verdict] | None) -> None:
        self.verdicts, self._needs, self._summary = verdicts, None, None
        self.represented, self.kinds = frozenset(), 0

    @property
    def proved(self) -> bool:
        return self.verdicts is not None

    def live_addresses(self) -> Int64s:
        """Returns the address of each owner; 0 if it is not in use in its loaded form."""
        return np.array([0 if live is None else live.address for live in self.live], dtype=np.int64)

    def direct_boxes(self) -> Int64s:
        """Returns the boxes of direct modules, which may be pulled."""
        direct = self._direct_groups()
        owner_groups, _ = self.groups()
        return self.boxes[direct[owner_groups[self.boxes[:, OWNER]]]] if len(self.boxes) else self.boxes

    def direct_casts(self) -> list[CastNote]:
        direct = self._direct_groups()
        owner_groups, _ = self.groups()
        return [cast for cast in self.casts if direct[owner_groups[cast.owner]]]

    def needs(self) -> Needs:
        """Returns the needs of the worker. Cached until the verdicts change."""
        if self._needs is None:
            self._needs = self._make_needs()
        return self._needs

    def _make_needs(self) -> Needs:
        boxes, casts = self.direct_boxes(), self.direct_casts()
        columns = np.stack(
            [
                boxes[:, TENSOR],
                boxes[:, SOURCE],
                boxes[:, ROWS],
                boxes[:, ROW_BYTES],
                np.where(boxes[:, ROWS] == 1, boxes[:, ROW_BYTES], boxes[:, SOURCE_PITCH]),
            ],
            axis=1,
        )
        repeated = (columns[:, 2] > 1) & (columns[:, 4] == 0)  # a broadcast reads its row once
        columns[repeated, 2] = 1
        columns[repeated, 4] = columns[repeated, 3]
        whole = [(c.tensor, 0, 1, self.tensors[c.tensor].size_bytes, self.tensors[c.tensor].size_bytes) for c in casts]
        if whole:
            columns = np.concatenate([columns, np.array(whole, dtype=np.int64)])
        columns = without_contained(np.unique(columns, axis=0))
        return Needs(
            columns[:, 0].astype(np.uint32),
            np.ascontiguousarray(columns[:, 1]),
            np.ascontiguousarray(columns[:, 2]),
            np.ascontiguousarray(columns[:, 3]),
            np.ascontiguousarray(columns[:, 4]),
            self.rest(),
        )

    def rest(self) -> npt.NDArray[np.uint32]:
        """Returns the tensors that must go whole through the loader: all of them while nothing is proved."""
        if self.verdicts is None:
            return np.arange(len(self.tensors), dtype=np.uint32)
        direct = self._direct_groups()
        _, tensor_groups = self.groups()
        wanted = (tensor_groups >= 0) & ~direct[tensor_groups]
        wanted[list(self.tensor_reasons)] = True
        return np.flatnonzero(wanted).astype(np.uint32)

    def rest_groups(self) -> list[list[int]]:
        """Returns the tensors of `rest()` grouped by modules: each list goes into one loader call."""
        _, tensor_groups = self.groups()
        found: dict[int, list[int]] = {}
        for tensor in self.rest().tolist():
            group = int(tensor_groups[tensor])
            found.setdefault(group if group >= 0 else -2 - tensor, []).append(tensor)
        return list(found.values())

    def summary(self) -> Summary:
        """Returns counts of modules, and at most 100 reasons (module, reason). Cached until the verdicts change."""
        if self._summary is None:
            self._summary = self._make_summary()
        return self._summary

    def _make_summary(self) -> Summary:
        owner_groups, _ = self.groups()
        kinds: dict[str, Verdict] = {}
        represented: set[str] = set()
        written = set(self.boxes[:, OWNER].tolist()) | {c.owner for c in self.casts} | set(self.owner_reasons)
        for owner in written:
            verdict = self.verdicts[owner_groups[owner]] if self.verdicts is not None else Verdict("opaque", "unproved")
            info = self.owners[owner]
            for module in (info.module, *info.shared_with):
                kinds[module] = verdict
                if int(owner_groups[owner]) in self.represented:
                    represented.add(module)
        counts = {kind: sum(v.kind == kind for v in kinds.values()) for kind in ("direct", "staged", "opaque")}
        reasons = [(name, v.reason) for name, v in sorted(kinds.items()) if v.kind != "direct"]
        reasons += [(self.tensors[t].name, reason) for t, reason in sorted(self.tensor_reasons.items())]
        return Summary(
            modules=len(kinds),
            **counts,
            reasons=tuple(reasons[:100]),
            recorded_ms=self.recorded_ms,
            proved_ms=self.proved_ms,
            source=self.source,
            represented=len(represented),
            kinds=self.kinds,
        )

    def _direct_groups(self) -> npt.NDArray[np.bool_]:
        count = int(self.groups()[0].max(initial=-1)) + 1
        if self.verdicts is None:
            return np.zeros(count + 1, dtype=np.bool_)
        return np.array([verdict.kind == "direct" for verdict in self.verdicts] + [False], dtype=np.bool_)


def _groups(recording: Recording) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Joins owners by module, by shared memory and by tensors that feed several of them."""
    parent = list(range(len(recording.owners)))

    def find(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    by_module: dict[str, int] = {}
    for i, owner in enumerate(recording.owners):
        for module in (owner.module, *owner.shared_with):
            parent[find(i)] = find(by_module.setdefault(module, i))
    pairs = np.unique(recording.boxes[:, [TENSOR, OWNER]], axis=0)
    first: dict[int, int] = {}
    for tensor, owner_index in [
        *map(tuple, pairs.tolist()),
        *((cast.tensor, cast.owner) for cast in recording.casts),
        *recording.links,
    ]:
        parent[find(owner_index)] = find(first.setdefault(tensor, owner_index))
    numbers: dict[int, int] = {}
    owner_groups = np.array([numbers.setdefault(find(i), len(numbers)) for i in range(len(parent))], dtype=np.int64)
    tensor_groups = np.full(len(recording.tensors), -1, dtype=np.int64)
    for tensor, owner_index in first.items():
        tensor_groups[tensor] = owner_groups[owner_index]
    return (owner_groups, tensor_groups)
