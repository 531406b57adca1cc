"""The bytes of a file that holds the notes of one recording. Imports torch only through `torch_module`.

The file has a line with the format and its version, a digest of the rest, JSON, and the columns of the boxes. A file is
used only if it is complete and fits the tensors of the checkpoint and of the engine: no box ends outside of them. The
tensors of the engine are numbered by their paths, because their order in memory differs between processes.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from checkpoint_engine_worker.pull_types import Int64s, TensorMeta
from checkpoint_engine_worker.recording.layer_notes import Notes
from checkpoint_engine_worker.recording.overlaps import FILL
from checkpoint_engine_worker.recording.recording import (
    COLUMNS,
    DESTINATION,
    DESTINATION_PITCH,
    OWNER,
    ROW_BYTES,
    ROWS,
    SOURCE,
    SOURCE_PITCH,
    TENSOR,
    CastNote,
    OwnerInfo,
)
from checkpoint_engine_worker.tensors.torch_module import torch_module

#: Version of the format: files of other versions are never read.
FORMAT = 1

_MAGIC = b"checkpoint-engine recording %d\n" % FORMAT
_DIGEST_BYTES = 32
#: Upper bound that no list of boxes exceeds.
_MAX_BYTES = 4 << 30


def owners_digest(owners: Sequence[OwnerInfo]) -> str:
    """Returns a digest of the tensors that the loader can write to."""
    digest = hashlib.sha256()
    for owner in sorted(owners, key=_path_of):
        fields = (owner.path, owner.module, owner.module_class, str(owner.size_bytes), *owner.shared_with)
        digest.update("\0".join(fields).encode() + b"\n")
    return digest.hexdigest()


def encode_notes(notes: Notes, key: str, owners: Sequence[OwnerInfo]) -> bytes:
    """Encodes these notes. `key` identifies the recording."""
    order = _by_path(owners)
    position = np.empty(len(owners), dtype=np.int64)
    position[order] = np.arange(len(owners))
    filed = _renumbered(notes, position)
    fields = {
        "key": key,
        "owners": owners_digest(owners),
        "boxes": len(filed.boxes),
        "casts": [_cast_fields(cast) for cast in filed.casts],
        "tensorReasons": sorted(filed.tensor_reasons.items()),
        "ownerReasons": sorted(filed.owner_reasons.items()),
        "links": [list(link) for link in filed.links],
    }
    head = json.dumps(fields, separators=(",", ":")).encode()
    # Columns compress far better than rows, because most of them hardly change.
    columns = np.ascontiguousarray(filed.boxes.T).astype("<i8").tobytes()
    body = len(head).to_bytes(8, "little") + head + zlib.compress(columns, 1)
    return _MAGIC + hashlib.sha256(body).digest() + body


def decode_notes(data: bytes, key: str, owners: Sequence[OwnerInfo], tensors: Sequence[TensorMeta]) -> Notes:
    """Decodes the notes of a file.

    Raises:
        ValueError: The file is damaged, belongs to another recording, or does not fit the tensors. The text says which.
    """
    start = len(_MAGIC) + _DIGEST_BYTES
    if not data.startswith(_MAGIC):
        raise ValueError(f"it is not a recording of format {FORMAT}")
    body = memoryview(data)[start:]
    if hashlib.sha256(body).digest() != data[len(_MAGIC) : start]:
        raise ValueError("it is damaged: its digest differs")
    head_bytes = int.from_bytes(body[:8], "little")
    try:
        fields = json.loads(bytes(body[8 : 8 + head_bytes]))
        notes = _notes(fields, bytes(body[8 + head_bytes :]))
    except (KeyError, TypeError, zlib.error, AttributeError) as error:
        raise ValueError(f"it is damaged: {type(error).__name__}: {error}") from error
    if fields["key"] != key or fields["owners"] != owners_digest(owners):
        raise ValueError("it is the recording of another engine")
    order = _by_path(owners)
    _check(notes, [owners[i] for i in order.tolist()], tensors)
    return _renumbered(notes, order)


def _renumbered(notes: Notes, numbers: Int64s) -> Notes:
    """Renumbers the engine's tensors in notes: `numbers[old]` is the new number."""
    boxes = notes.boxes.copy()
    if len(boxes):
        boxes[:, OWNER] = numbers[boxes[:, OWNER]]
    return Notes(
        boxes,
        [replace(cast, owner=int(numbers[cast.owner])) for cast in notes.casts],
        dict(notes.tensor_reasons),
        {int(numbers[owner]): reason for owner, reason in notes.owner_reasons.items()},
        [(tensor, int(numbers[owner])) for tensor, owner in notes.links],
    )


def _by_path(owners: Sequence[OwnerInfo]) -> Int64s:
    """Returns the positions of the owners in the order of their paths."""
    return np.array(sorted(range(len(owners)), key=lambda i: owners[i].path), dtype=np.int64)


def _path_of(owner: OwnerInfo) -> str:
    return owner.path


def _notes(fields: dict[str, Any], packed: bytes) -> Notes:
    size = int(fields["boxes"]) * len(COLUMNS) * 8
    unpack = zlib.decompressobj()
    columns = unpack.decompress(packed, min(size, _MAX_BYTES) + 1)
    if len(columns) != size:
        raise ValueError("it is damaged: its boxes have a wrong size")
    boxes = np.frombuffer(columns, dtype="<i8").reshape(len(COLUMNS), -1).T.astype(np.int64)
    return Notes(
        np.ascontiguousarray(boxes),
        [_cast_of(cast) for cast in fields["casts"]],
        {int(tensor): str(reason) for tensor, reason in fields["tensorReasons"]},
        {int(owner): str(reason) for owner, reason in fields["ownerReasons"]},
        [(int(tensor), int(owner)) for tensor, owner in fields["links"]],
    )


def _check(notes: Notes, owners: Sequence[OwnerInfo], tensors: Sequence[TensorMeta]) -> None:
    boxes = notes.boxes
    tensor_bytes = np.array([tensor.size_bytes for tensor in tensors], dtype=np.int64)
    owner_bytes = np.array([owner.size_bytes for owner in owners], dtype=np.int64)
    for column, sizes in ((TENSOR, tensor_bytes), (OWNER, owner_bytes)):
        if len(boxes) and not (boxes[:, column].min() >= 0 and boxes[:, column].max() < len(sizes)):
            raise ValueError("a box refers to a tensor that does not exist")
    if len(boxes):
        if bool((boxes[:, [ROWS, ROW_BYTES]] < 1).any()) or bool((boxes[:, SOURCE:] < 0).any()):
            raise ValueError("a box has an invalid size")
        _check_ends(boxes, SOURCE, SOURCE_PITCH, tensor_bytes[boxes[:, TENSOR]])
        _check_ends(boxes, DESTINATION, DESTINATION_PITCH, owner_bytes[boxes[:, OWNER]])
    named = [*notes.links, *((cast.tensor, cast.owner) for cast in notes.casts)]
    named += [(tensor, 0) for tensor in notes.tensor_reasons] + [(0, owner) for owner in notes.owner_reasons]
    if any(not (0 <= tensor < len(tensors) and 0 <= owner < len(owners)) for tensor, owner in named):
        raise ValueError("a note refers to a tensor that does not exist")
    for cast in notes.casts:
        source_end = _end(cast.shape, cast.source_strides, cast.source_offset) * _item_bytes(cast.source_dtype)
        end = cast.offset_bytes + _end(cast.shape, cast.strides, 0) * _item_bytes(cast.dtype)
        if source_end > tensors[cast.tensor].size_bytes or end > owners[cast.owner].size_bytes:
            raise ValueError("a conversion ends outside of its tensor")


def _check_ends(boxes: Int64s, start: int, pitch: int, sizes: Int64s) -> None:
    # In floating point first, because a product of damaged numbers may overflow.
    span = (boxes[:, ROWS] - 1.0) * boxes[:, pitch] + boxes[:, ROW_BYTES] + boxes[:, start]
    if FILL in boxes[:, TENSOR] or bool((span > sizes).any()):
        raise ValueError("a box ends outside of its tensor")


def _end(shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> int:
    if len(shape) != len(strides) or min((*shape, *strides, offset), default=0) < 0:
        raise ValueError("a conversion has an invalid shape")
    if 0 in shape:
        return offset
    return offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True)) + 1


def _cast_fields(cast: CastNote) -> list[Any]:
    return [
        *(cast.tensor, cast.owner, list(cast.shape), str(cast.source_dtype), cast.source_offset),
        *(list(cast.source_strides), str(cast.dtype), cast.offset_bytes, list(cast.strides)),
    ]


def _cast_of(fields: list[Any]) -> CastNote:
    tensor, owner, shape, source_dtype, source_offset, source_strides, dtype, offset, strides = fields
    return CastNote(
        *(int(tensor), int(owner), _ints(shape), _dtype(source_dtype), int(source_offset)),
        *(_ints(source_strides), _dtype(dtype), int(offset), _ints(strides)),
    )


def _ints(values: list[Any]) -> tuple[int, ...]:
    return tuple(int(value) for value in values)


def _dtype(name: str) -> Any:
    torch = torch_module()
    dtype = getattr(torch, name.removeprefix("torch."), None)
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f'torch has no type "{name}"')
    return dtype


def _item_bytes(dtype: Any) -> int:
    return int(torch_module().empty((), dtype=dtype).element_size())
