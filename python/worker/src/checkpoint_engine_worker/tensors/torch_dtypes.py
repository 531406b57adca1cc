"""Torch types of safetensors names, and tensors as bytes. Imports torch."""

from __future__ import annotations

from typing import Any

import torch

from checkpoint_engine_worker.pull_types import DTYPE_BITS
from checkpoint_engine_worker.tensors.dtypes import TORCH_NAMES


def torch_dtype(name: str) -> Any:
    """Returns the torch type of a safetensors name; None if torch has no such type with whole bytes."""
    return getattr(torch, TORCH_NAMES[name], None) if DTYPE_BITS.get(name, 0) >= 8 and name in TORCH_NAMES else None


def rows_of(data: Any, offset: int, shape: tuple[int, int], pitch: int) -> Any:
    """Returns rows of a flat tensor of bytes: the first begins at `offset`, the others follow at `pitch` bytes."""
    return torch.as_strided(data, shape, (pitch, 1), data.storage_offset() + offset)


def as_bytes(tensor: Any) -> Any:
    """Returns the values of a tensor as flat bytes on its device; a copy if the tensor is not contiguous."""
    flat = tensor.detach().reshape(-1)
    if flat.numel() and flat.stride(0) != 1:  # one element may have any stride, which a copy by torch keeps
        flat = torch.empty(flat.shape, dtype=flat.dtype, device=flat.device).copy_(flat)
    return flat.view(torch.uint8)
