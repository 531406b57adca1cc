"""The torch types of the names that safetensors uses, and tensors as bytes. Imports torch."""

from __future__ import annotations

from typing import Any

import torch

_NAMES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "F8_E8M0": "float8_e8m0fnu",
    "U16": "uint16",
    "I16": "int16",
    "F16": "float16",
    "BF16": "bfloat16",
    "U32": "uint32",
    "I32": "int32",
    "F32": "float32",
    "U64": "uint64",
    "I64": "int64",
    "F64": "float64",
    "C64": "complex64",
}


def torch_dtype(name: str) -> Any:
    """The torch type of a safetensors name; None where torch has none whose elements are bytes."""
    return getattr(torch, _NAMES[name], None) if name in _NAMES else None


def as_bytes(tensor: Any) -> Any:
    """The values of a tensor as a flat tensor of bytes on its device; a copy where they are not next to each other."""
    flat = tensor.detach().reshape(-1)
    if flat.numel() and flat.stride(0) != 1:  # one element may have any stride, and stays as it is in a copy by torch
        flat = torch.empty(flat.shape, dtype=flat.dtype, device=flat.device).copy_(flat)
    return flat.view(torch.uint8)
