"""Records which bytes of a checkpoint an engine keeps, from names, types and shapes only. Imports torch.

    recording = record(Engine(model.load_weights, [("", model)], "cuda:0", facts), tensors)

runs the engine's loader on tensors without bytes; it writes nothing to the engine and moves no data. Of similar layers,
three are recorded and their notes are applied to the others. No part of a recording is used before `proof.prove` has
compared it with the live parameters.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import numpy as np

from checkpoint_engine_worker.copying.casts import MAX_CAST_BYTES
from checkpoint_engine_worker.engine import Engine
from checkpoint_engine_worker.pull_types import TensorMeta
from checkpoint_engine_worker.recorder.boxes import boxes_of
from checkpoint_engine_worker.recorder.in_use import in_use_of
from checkpoint_engine_worker.recorder.loader_trace import CopyNote, LoaderTrace
from checkpoint_engine_worker.recorder.observe import REPLACED, observe, pattern_of
from checkpoint_engine_worker.recording.fingerprint import fingerprint_of, layer_forms, metas_digest, recording_key
from checkpoint_engine_worker.recording.layer_notes import Notes, same_template, stamp, template_of
from checkpoint_engine_worker.recording.layers import LayerClass, layer_classes, split_layer
from checkpoint_engine_worker.recording.overlaps import FILL, settle
from checkpoint_engine_worker.recording.recording import COLUMNS, OWNER, TENSOR, CastNote, OwnerInfo, Recording
from checkpoint_engine_worker.tensors.tensor_map import TensorMap

if TYPE_CHECKING:
    from checkpoint_engine_worker.recording.recording_cache import RecordingCache

#: A class of at most this many layers is recorded completely; of larger ones, the first, middle and last layer.
_SAMPLES = 3


def record(
    engine: Engine,
    tensors: Sequence[TensorMeta],
    *,
    metas: str | None = None,
    stamped: bool = True,
    cache: RecordingCache | None = None,
) -> Recording:
    """Records the engine for these tensors. `metas` is their digest, if the caller has it.

    With `stamped=False` every layer is recorded separately, for engines whose layers look similar but differ. A `cache`
    is read first, and receives the recording.
    """
    started = time.monotonic()
    metas = metas or metas_digest(tensors)
    fingerprint = fingerprint_of(engine, metas)
    key = recording_key(engine, f"{metas} {stamped}") if cache else ""
    with engine.load_format() if engine.load_format else nullcontext():
        known = TensorMap(engine.roots)
        owners = [
            OwnerInfo(owner.path, owner.module, owner.module_class, owner.size_bytes, tuple(owner.shared_with))
            for owner in known.owners
        ]
        notes = cache.read(key, owners, tensors) if cache else None
        source = "cache" if notes else "loader"
        if notes is None:
            classes, loose = layer_classes(tensors, layer_forms(engine.roots))
            notes = _settled(_record_all(engine, known, tensors, classes, loose, stamped), tensors, known)
            if cache:
                cache.keep(key, notes, owners)
    in_use = in_use_of(engine, known, notes)
    return Recording(
        tensors=tensors,
        owners=owners,
        boxes=notes.boxes,
        casts=notes.casts,
        tensor_reasons=notes.tensor_reasons,
        owner_reasons=notes.owner_reasons,
        links=notes.links,
        fingerprint=fingerprint,
        live=in_use.live,
        transformed=in_use.transformed,
        in_place=in_use.in_place,
        source=source,
        recorded_ms=(time.monotonic() - started) * 1e3,
    )


def _settled(notes: Notes, tensors: Sequence[TensorMeta], known: TensorMap) -> Notes:
    """Returns the notes without overlaps, and with a reason for everything that has no box."""
    boxes, tensor_reasons, owner_reasons = settle(notes.boxes)
    notes.boxes = boxes
    for mine, found in ((notes.tensor_reasons, tensor_reasons), (notes.owner_reasons, owner_reasons)):
        for key, reason in found.items():
            mine.setdefault(key, reason)
    _limit_casts(notes, tensors)
    _explain_replaced(notes, tensors, known)
    _link_siblings(notes, tensors)
    return notes


def _record_all(
    engine: Engine,
    known: TensorMap,
    tensors: Sequence[TensorMeta],
    classes: list[LayerClass],
    loose: list[int],
    stamped: bool,
) -> Notes:
    refused: dict[str, str] = {}
    first = list(loose)
    for layers in classes:
        for key in _samples(layers) if stamped else layers.members:
            first += layers.members[key]
    notes = _notes(observe(engine, known, tensors, sorted(first), refused), tensors, refused, first)
    if not stamped:
        return notes
    if not len(notes.boxes) and not notes.casts and len(first) < len(tensors):
        # A loader that needs all tensors in one call.
        return _record_all(engine, known, tensors, classes, loose, False)
    later: list[int] = []
    stamps = []
    for layers in classes:
        made = _stamped(layers, known, notes)
        stamps += made if made is not None else []
        if made is None:
            samples = _samples(layers)
            later += [i for key, members in layers.members.items() if key not in samples for i in members]
    for made_notes in stamps:
        notes.add(made_notes)
    if later:
        notes.add(_notes(observe(engine, known, tensors, sorted(later), refused), tensors, refused, later))
    return notes


def _samples(layers: LayerClass) -> list[tuple[str, int]]:
    keys = sorted(layers.members)
    return keys if len(keys) <= _SAMPLES else [keys[0], keys[len(keys) // 2], keys[-1]]


def _stamped(layers: LayerClass, known: TensorMap, notes: Notes) -> list[Notes] | None:
    """Returns notes of unrecorded layers; None if the recorded ones differ, or the engine's layers differ."""
    samples = _samples(layers)
    if len(samples) == len(layers.members):
        return []
    templates = [template_of(notes, known, key[1], layers.members[key]) for key in samples]
    model = templates[0]
    if model is None or any(other is None or not same_template(model, other) for other in templates[1:]):
        return None
    found = []
    for key, members in layers.members.items():
        if key not in samples:
            made = stamp(model, known, key[1], members)
            if made is None:
                return None
            found.append(made)
    return found


def _notes(
    traces: Iterable[LoaderTrace], tensors: Sequence[TensorMeta], refused: dict[str, str], indices: Sequence[int]
) -> Notes:
    """Returns the notes of traces as boxes. Tensors whose pattern was refused are opaque."""
    notes = Notes(np.zeros((0, len(COLUMNS)), dtype=np.int64))
    rows: list[tuple[int, ...]] = []
    copy = 0
    for trace in traces:
        for note in trace.notes:
            copy += 1
            if not isinstance(note, CopyNote):
                found = boxes_of(note.shape, [0] * len(note.shape), note.strides, note.item_bytes)
                if found is None:
                    notes.owner_reasons.setdefault(note.owner, "the loader fills a scattered part of it")
                rows += [(FILL, note.owner, copy, 0, note.offset_bytes + b[1], *b[2:]) for b in found or []]
                continue
            source = note.source
            if source.dtype != note.dtype:
                notes.casts.append(_cast(note))
                continue
            item = note.dtype.itemsize
            found = boxes_of(note.shape, source.strides, note.strides, item)
            if found is None:
                notes.tensor_reasons.setdefault(source.tensor, "its loader scatters it")
                notes.owner_reasons.setdefault(note.owner, "its loader scatters a tensor over it")
                notes.links.append((source.tensor, note.owner))
            at = source.offset * item
            rows += [
                (source.tensor, note.owner, copy, at + b[0], note.offset_bytes + b[1], *b[2:]) for b in found or []
            ]
        notes.links += trace.links
        for mine, theirs in (
            (notes.tensor_reasons, trace.tensor_reasons),
            (notes.owner_reasons, trace.owner_reasons),
        ):
            for key, reason in theirs.items():
                mine.setdefault(key, reason)
    if rows:
        notes.boxes = np.array(rows, dtype=np.int64)
    for i in indices if refused else ():
        why = refused.get(pattern_of(tensors[i].name))
        if why is not None:
            notes.tensor_reasons.setdefault(i, why)
    return notes


def _cast(note: CopyNote) -> CastNote:
    source = note.source
    return CastNote(
        source.tensor,
        note.owner,
        note.shape,
        source.dtype,
        source.offset,
        source.strides,
        note.dtype,
        note.offset_bytes,
        note.strides,
    )


def _limit_casts(notes: Notes, tensors: Sequence[TensorMeta]) -> None:
    """Leaves conversions to the engine if they are more than a few small tensors."""
    if sum(tensors[i].size_bytes for i in {cast.tensor for cast in notes.casts}) > MAX_CAST_BYTES:
        for cast in notes.casts:
            notes.owner_reasons.setdefault(cast.owner, "its loader converts more than is kept in host memory")


def _explain_replaced(notes: Notes, tensors: Sequence[TensorMeta], known: TensorMap) -> None:
    """If the loader replaced a tensor by an unknown one, each untraced tensor of its layer may be the source."""
    linked = {owner for _, owner in notes.links} | set(notes.boxes[:, OWNER].tolist())
    replaced = [owner for owner, why in notes.owner_reasons.items() if why == REPLACED and owner not in linked]
    if not replaced:
        return
    traced = set(notes.boxes[:, TENSOR].tolist()) | {cast.tensor for cast in notes.casts} | set(notes.tensor_reasons)
    for owner in replaced:
        layer = split_layer(known.owners[owner].path)
        for i, meta in enumerate(tensors):
            other = split_layer(meta.name)
            if i not in traced and (layer and layer[0][1]) == (other and other[0][1]):
                notes.tensor_reasons[i] = REPLACED
                notes.links.append((i, owner))


def _link_siblings(notes: Notes, tensors: Sequence[TensorMeta]) -> None:
    """Joins an opaque tensor to the owners of its siblings: `x.weight_scale` belongs to the module of `x.weight`."""
    if not notes.tensor_reasons:
        return
    opaque: dict[str, list[int]] = {}
    for i in notes.tensor_reasons:
        opaque.setdefault(tensors[i].name.rpartition(".")[0], []).append(i)
    pairs = {(int(t), int(o)) for t, o in notes.boxes[:, :2].tolist()}
    pairs |= {(cast.tensor, cast.owner) for cast in notes.casts} | set(notes.links)
    reasons = []
    for tensor, owner in sorted(pairs):
        for i in opaque.get(tensors[tensor].name.rpartition(".")[0], ()):
            notes.links.append((i, owner))
            reasons.append((owner, notes.tensor_reasons[i]))
    for owner, reason in reasons:
        notes.owner_reasons.setdefault(owner, reason)
    # The destinations of an opaque tensor's copies are opaque as well.
    for tensor, owner in sorted(pairs):
        if tensor in notes.tensor_reasons:
            notes.owner_reasons.setdefault(owner, notes.tensor_reasons[tensor])
