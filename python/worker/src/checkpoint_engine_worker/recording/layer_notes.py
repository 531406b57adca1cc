"""Notes of one layer in a form that fits any layer of its class. Imports torch only through its arguments.

Tensors are identified by their position in the layer, owners by their paths before and after the layer's number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from checkpoint_engine_worker.pull_types import Int64s
from checkpoint_engine_worker.recording.layers import split_layer
from checkpoint_engine_worker.recording.overlaps import FILL
from checkpoint_engine_worker.recording.recording import COPY, OWNER, TENSOR, CastNote
from checkpoint_engine_worker.tensors.tensor_map import TensorMap

OwnerKey = tuple[str, str]


@dataclass
class Notes:
    """Recorded boxes (`recording.COLUMNS`), conversions, and reasons by tensor and by owner."""

    boxes: Int64s
    casts: list[CastNote] = field(default_factory=list)
    tensor_reasons: dict[int, str] = field(default_factory=dict)
    owner_reasons: dict[int, str] = field(default_factory=dict)
    links: list[tuple[int, int]] = field(default_factory=list)

    def add(self, other: Notes) -> None:
        after = int(self.boxes[:, COPY].max(initial=-1)) + 1
        moved = other.boxes.copy()
        moved[:, COPY] += after
        self.boxes = np.concatenate([self.boxes, moved])
        self.casts += other.casts
        self.links += other.links
        for mine, theirs in ((self.tensor_reasons, other.tensor_reasons), (self.owner_reasons, other.owner_reasons)):
            for key, reason in theirs.items():
                mine.setdefault(key, reason)


@dataclass(frozen=True)
class LayerTemplate:
    """Notes whose tensors are positions in a layer, and whose owners are positions in `owner_keys`."""

    notes: Notes
    owner_keys: tuple[OwnerKey, ...]


def template_of(notes: Notes, known: TensorMap, number: int, members: Sequence[int]) -> LayerTemplate | None:
    """Returns the notes of one layer, or None if it writes to owners outside the engine's layer of the same number."""
    slots = np.full(max(members) + 2, -2, dtype=np.int64)
    slots[list(members)] = np.arange(len(members))
    slots[FILL] = FILL
    tensor_slots = np.where(notes.boxes[:, TENSOR] < len(slots) - 1, notes.boxes[:, TENSOR], len(slots) - 2)
    inside = {t: i for i, t in enumerate(members)}
    keys: dict[OwnerKey, int] = {}
    owner_slots: dict[int, int] = {}

    def owner_slot(owner: int) -> int | None:
        if owner not in owner_slots:
            split = split_layer(known.owners[owner].path)
            if split is None or split[0][1] != number:
                return None
            owner_slots[owner] = keys.setdefault((split[0][0], split[1]), len(keys))
        return owner_slots[owner]

    mine = np.isin(notes.boxes[:, TENSOR], list(members))
    fills = np.flatnonzero(notes.boxes[:, TENSOR] == FILL)
    for owner in np.unique(notes.boxes[mine, OWNER]).tolist():
        if owner_slot(owner) is None:
            return None
    mine[fills] = [owner_slot(owner) is not None for owner in notes.boxes[fills, OWNER].tolist()]
    boxes = notes.boxes[mine].copy()
    boxes[:, TENSOR] = slots[tensor_slots[mine]]
    boxes[:, OWNER] = [owner_slots[owner] for owner in boxes[:, OWNER].tolist()]
    found = Notes(boxes)
    for cast in notes.casts:
        if cast.tensor in inside:
            slot = owner_slot(cast.owner)
            if slot is None:
                return None
            found.casts.append(replace(cast, tensor=inside[cast.tensor], owner=slot))
    for tensor, owner in notes.links:
        if tensor in inside:
            slot = owner_slot(owner)
            if slot is None:
                return None
            found.links.append((inside[tensor], slot))
    found.tensor_reasons = {inside[t]: reason for t, reason in notes.tensor_reasons.items() if t in inside}
    for owner, reason in notes.owner_reasons.items():
        slot = owner_slot(owner)
        if slot is not None:
            found.owner_reasons[slot] = reason
    return LayerTemplate(found, tuple(keys))


def stamp(template: LayerTemplate, known: TensorMap, number: int, members: Sequence[int]) -> Notes | None:
    """Returns the notes of another layer of the class, or None if the engine has no such owners there."""
    owners = []
    for prefix, suffix in template.owner_keys:
        owner = known.by_path.get(f"{prefix}{number}{suffix}")
        if owner is None or known.owners[owner].path != f"{prefix}{number}{suffix}":
            return None
        owners.append(owner)
    notes = template.notes
    boxes = notes.boxes.copy()
    boxes[:, TENSOR] = np.array([*members, FILL], dtype=np.int64)[boxes[:, TENSOR]]
    if len(boxes):
        boxes[:, OWNER] = np.array(owners, dtype=np.int64)[boxes[:, OWNER]]
    return Notes(
        boxes,
        [replace(cast, tensor=members[cast.tensor], owner=owners[cast.owner]) for cast in notes.casts],
        {members[slot]: reason for slot, reason in notes.tensor_reasons.items()},
        {owners[slot]: reason for slot, reason in notes.owner_reasons.items()},
        [(members[slot], owners[owner]) for slot, owner in notes.links],
    )


def same_template(a: LayerTemplate, b: LayerTemplate) -> bool:
    """Returns whether the notes of two layers are equal, up to the order of their copies."""
    return _normal(a) == _normal(b)


def _normal(template: LayerTemplate) -> tuple[object, ...]:
    keys = sorted(template.owner_keys)
    position = np.array([keys.index(key) for key in template.owner_keys], dtype=np.int64)
    boxes = np.delete(template.notes.boxes, COPY, axis=1)
    owner_column = OWNER
    if len(boxes):
        boxes[:, owner_column] = position[boxes[:, owner_column]]
        boxes = boxes[np.lexsort(boxes.T[::-1])]
    notes = template.notes
    casts = sorted(repr(replace(cast, owner=int(position[cast.owner]))) for cast in notes.casts)
    owner_reasons = sorted((int(position[slot]), reason) for slot, reason in notes.owner_reasons.items())
    return (tuple(keys), boxes.tobytes(), casts, sorted(notes.tensor_reasons.items()), owner_reasons)
