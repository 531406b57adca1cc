"""Columns of numbers in messages: little-endian, u32 for indexes and ids, u64 for bytes. Checked before use."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from checkpoint_engine_worker.pull_types import Int64s, Needs, Places, Summary, Windows

if TYPE_CHECKING:
    from numpy import uint32

#: Maximum bytes of the columns of one part of `needs`. Equal to `PULL_PART_LIMITS.fromWorkerBytes`.
PART_BYTES = 512 * 1024

_BOX_BYTES = 4 + 4 * 8
_LIMIT = 2**53
_LONGEST_REASONS = 64 * 1024


def decode_places(columns: Sequence[Mapping[str, Any]]) -> Places:
    """Returns the places of all parts.

    Raises:
        ValueError: A column is missing, ends within a number, or has another length.
    """
    tensor = np.concatenate([_u32(part, "tensor") for part in columns])
    region = np.concatenate([_u32(part, "region") for part in columns])
    offsets, sizes, places = (
        np.concatenate([_u64(part, name) for part in columns]) for name in ("tensorOffset", "size", "offset")
    )
    if any(len(column) != len(tensor) for column in (region, offsets, sizes, places)):
        raise ValueError("columns of places that differ in length")
    return Places(tensor, offsets, sizes, region, places)


def check_places(places: Places, sizes_bytes: Int64s, regions: Mapping[int, int]) -> None:
    """Checks that places are inside tensors and regions that exist, in order and without overlap.

    Args:
        places: The places from a server.
        sizes_bytes: Sizes of the tensors, by index.
        regions: Size of each region by its id, in bytes.

    Raises:
        ValueError: They are not.
    """
    if len(places.tensor) == 0:
        return
    tensor = places.tensor.astype(np.int64)
    if int(tensor.max()) >= len(sizes_bytes):
        raise ValueError(f"tensor {int(tensor.max())} of a checkpoint with {len(sizes_bytes)} tensors")
    unknown = set(np.unique(places.region).tolist()) - set(regions)
    if unknown:
        raise ValueError(f"a place in region {min(unknown)}, which was not announced")
    ends = places.tensor_offset + places.size
    if bool((ends > sizes_bytes[tensor]).any()):
        raise ValueError("a place that ends outside of its tensor")
    limits = np.array([regions[int(region)] for region in places.region], dtype=np.int64)
    if bool((places.offset + places.size > limits).any()):
        raise ValueError("a place that ends outside of its region")
    same = tensor[1:] == tensor[:-1]
    disordered = (tensor[1:] < tensor[:-1]) | (same & (places.tensor_offset[1:] < ends[:-1]))
    if bool(disordered.any()):
        raise ValueError("places out of order, or places that overlap")


def decode_windows(columns: Mapping[str, Any], sizes_bytes: Int64s) -> Windows:
    """Returns windows of tensors, in order inside tensors that exist.

    Raises:
        ValueError: They are not, or a column is missing or has another length.
    """
    tensor, offset, size = _u32(columns, "tensor"), _u64(columns, "offset"), _u64(columns, "size")
    if len(offset) != len(tensor) or len(size) != len(tensor):
        raise ValueError("columns of windows that differ in length")
    if len(tensor) and int(tensor.max()) >= len(sizes_bytes):
        raise ValueError(f"tensor {int(tensor.max())} of a checkpoint with {len(sizes_bytes)} tensors")
    ends = offset + size
    if bool((ends > sizes_bytes[tensor]).any()):
        raise ValueError("a window that ends outside of its tensor")
    same = tensor[1:] == tensor[:-1]
    if bool(((tensor[1:] < tensor[:-1]) | (same & (offset[1:] < ends[:-1]))).any()):
        raise ValueError("windows out of order, or windows that overlap")
    return Windows(tensor, offset, size)


def needs_messages(needs: Needs, summary: Summary) -> Iterator[dict[str, Any]]:
    """Returns the parts of a worker's needs. Indexes of `rest` and the summary are in the last ones."""
    boxes = PART_BYTES // _BOX_BYTES
    indexes = PART_BYTES // 4
    box_parts = -(-len(needs.tensor) // boxes)
    parts = max(1, box_parts + -(-len(needs.rest) // indexes))
    for part in range(parts):
        box = slice(min(part, box_parts) * boxes, min(part + 1, box_parts) * boxes)
        at = max(0, part - box_parts) * indexes
        rest = needs.rest[at : at + indexes] if part >= box_parts else needs.rest[:0]
        message = {
            "type": "needs",
            "part": part,
            "parts": parts,
            "tensor": needs.tensor[box].astype("<u4").tobytes(),
            "offset": needs.offset[box].astype("<u8").tobytes(),
            "rows": needs.rows[box].astype("<u8").tobytes(),
            "rowBytes": needs.row_bytes[box].astype("<u8").tobytes(),
            "pitch": needs.pitch[box].astype("<u8").tobytes(),
            "rest": rest.astype("<u4").tobytes(),
        }
        if part == parts - 1:
            message["summary"] = summary_fields(summary)
        yield message


def summary_fields(summary: Summary) -> dict[str, Any]:
    """Returns a summary in the form of messages. Each reason is a line: the module's name, a tab, and the reason."""
    lines = [f"{_line(name)}\t{_line(reason)}" for name, reason in summary.reasons[:100]]
    return {
        "modules": summary.modules,
        "direct": summary.direct,
        "staged": summary.staged,
        "opaque": summary.opaque,
        "reasons": "\n".join(lines)[:_LONGEST_REASONS],
        "recordedMs": summary.recorded_ms,
        "provedMs": summary.proved_ms,
        "source": summary.source,
        "represented": summary.represented,
        "kinds": summary.kinds,
    }


def _line(text: str) -> str:
    return json.dumps(text)[1:-1] if any(character in text for character in "\t\n\r") else text


def _u32(part: Mapping[str, Any], name: str) -> npt.NDArray[uint32]:
    return np.frombuffer(_bytes(part, name, 4), dtype="<u4").astype(np.uint32)


def _u64(part: Mapping[str, Any], name: str) -> Int64s:
    values = np.frombuffer(_bytes(part, name, 8), dtype="<u8")
    if len(values) and int(values.max()) >= _LIMIT:
        raise ValueError(f"a number of {int(values.max())}, expected less than 2^53")
    return values.astype(np.int64)


def _bytes(part: Mapping[str, Any], name: str, item_bytes: int) -> bytes:
    value = part.get(name)
    if not isinstance(value, bytes):
        raise ValueError(f'no column "{name}"')
    if len(value) % item_bytes != 0:
        raise ValueError(f"a column of {len(value)} bytes, expected a multiple of {item_bytes}")
    return value
