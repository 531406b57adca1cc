"""The torch types of the names that safetensors uses, and tensors as bytes. Imports torch."""

from __future__ import annotations

from typing import Any

import torch

from checkpoint_engine_worker.dtypes import TORCH_NAMES
from checkpoint_engine_worker.pull_types import DTYPE_BITS


def torch_dtype(name: str) -> Any:
    """The torch type of a safetensors name; None where torch has none whose elements are bytes."""
    return getattr(torch, TORCH_NAMES[name], None) if DTYPE_BITS.get(name, 0) >= 8 and name in TORCH_NAMES else None


def rows_of(data: Any, offset: int, shape: tuple[int, int], pitch: int) -> Any:
    """Rows of a flat tensor of bytes: the first begins at `offset`, the others `pitch` bytes after each other."""
    return torch.as_strided(data, shape, (pitch, 1), data.storage_offset() + offset)


def as_bytes(tensor: Any) -> Any:
    """The values of a tensor as a flat tensor of bytes on its device; a copy where they are not next to each other."""
    flat = tensor.detach().reshape(-1)
    if flat.numel() and flat.stride(0) != 1:  # one element may have any stride, and stays as it is in a copy by torch
        flat = torch.empty(flat.shape, dtype=flat.dtype, device=flat.device).copy_(flat)
    return flat.view(torch.uint8)
