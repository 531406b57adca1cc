"""Reads the messages of a pull that have lists of tensors and regions."""

from __future__ import annotations

from typing import Any

from checkpoint_engine_worker.protocol.messages import is_count, server_broke, unexpected
from checkpoint_engine_worker.pull_types import DTYPE_BITS, RegionName, TensorMeta

#: Maximum number of dimensions of a torch tensor.
_MAX_DIMENSIONS = 64


def read_metas(part: dict[str, Any]) -> list[TensorMeta]:
    """Reads the tensors of one part of the metas.

    Raises:
        CheckpointEngineError: `CE_WORKER_PROTOCOL`.
    """
    columns = [part.get(name) for name in ("names", "dtypes", "shapes", "sizes")]
    if not all(isinstance(column, list) and len(column) == len(columns[0] or []) for column in columns):
        raise unexpected("metas")
    found = []
    for name, dtype, shape, size in zip(*columns, strict=True):
        is_valid = (
            isinstance(name, str)
            and isinstance(dtype, str)
            and isinstance(shape, list)
            and len(shape) <= _MAX_DIMENSIONS
            and all(map(is_count, shape))
        )
        if not is_valid or dtype not in DTYPE_BITS:
            raise server_broke(
                f'a tensor "{str(name)[:200]}" of dtype "{str(dtype)[:40]}" and shape {str(shape)[:200]}'
            )
        tensor = TensorMeta(name, dtype, tuple(shape))
        if tensor.size_bytes != size or not is_count(size):
            raise server_broke(f'a tensor "{name[:200]}" of {size} bytes, its shape has {tensor.size_bytes}')
        found.append(tensor)
    return found


def read_regions(message: dict[str, Any]) -> list[RegionName]:
    """Reads the regions of a layout.

    Raises:
        CheckpointEngineError: `CE_WORKER_PROTOCOL`.
    """
    regions = message.get("regions")
    if not isinstance(regions, list):
        raise unexpected("regions")
    names = []
    for region in regions:
        fields = region if isinstance(region, dict) else {}
        number, handle, size = fields.get("id"), fields.get("handle"), fields.get("sizeBytes")
        if not (isinstance(number, int) and isinstance(handle, bytes) and isinstance(size, int) and size > 0):
            raise unexpected("regions")
        names.append((number, handle, size))
    if len({number for number, _, _ in names}) < len(names):
        raise server_broke("two regions of one id")
    return names
