"""Converts tensors of a safetensors checkpoint to torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from checkpoint_engine_worker.errors import CheckpointEngineError
from checkpoint_engine_worker.tensors.torch_module import torch_module

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

#: The attribute of the module `torch` for each dtype of safetensors.
TORCH_NAMES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "F8_E8M0": "float8_e8m0fnu",
    "I16": "int16",
    "U16": "uint16",
    "F16": "float16",
    "BF16": "bfloat16",
    "I32": "int32",
    "U32": "uint32",
    "F32": "float32",
    "C64": "complex64",
    "F64": "float64",
    "I64": "int64",
    "U64": "uint64",
    "F4": "float4_e2m1fn_x2",
}


def torch_dtype(name: str, dtype: str) -> torch.dtype:
    """Returns the torch dtype for a tensor of a checkpoint.

    Args:
        name: The tensor's name, for the error.
        dtype: The name in safetensors.

    Raises:
        CheckpointEngineError: `CE_DTYPE_UNKNOWN`: the installed torch does not have it.
    """
    attribute = TORCH_NAMES.get(dtype)
    found = getattr(torch_module(), attribute, None) if attribute else None
    if found is not None:
        return found
    raise CheckpointEngineError(
        "CE_DTYPE_UNKNOWN",
        f'Tensor "{name}" has dtype {dtype}, which torch {torch_module().__version__} does not have',
        "Use a release of torch that has the dtype, or convert the tensor before it is registered",
    )


def torch_shape(name: str, dtype: str, shape: Sequence[int]) -> tuple[int, ...]:
    """Returns the shape in torch: `F4` counts pairs of values, so the last dimension is half as long.

    Raises:
        CheckpointEngineError: `CE_DTYPE_UNKNOWN`: an `F4` tensor with an odd last dimension.
    """
    if dtype != "F4":
        return tuple(shape)
    if shape and shape[-1] % 2 == 0:
        return (*shape[:-1], shape[-1] // 2)
    raise CheckpointEngineError(
        "CE_DTYPE_UNKNOWN",
        f'Tensor "{name}" of dtype F4 has shape {list(shape)}, but torch packs pairs of values',
        "Pad the last dimension to an even length before the tensor is registered",
    )


def view_tensor(buffer: torch.Tensor, name: str, dtype: str, shape: Sequence[int], offset_bytes: int) -> torch.Tensor:
    """Returns a tensor in a buffer of bytes, without a copy.

    Raises:
        CheckpointEngineError: `CE_DTYPE_UNKNOWN`.
        ValueError: The tensor is outside of the buffer, or is not aligned to its item size.
    """
    torch = torch_module()
    as_type, as_shape = torch_dtype(name, dtype), torch_shape(name, dtype, shape)
    count = 1
    for length in as_shape:
        count *= length
    size_bytes = count * as_type.itemsize
    if offset_bytes < 0 or offset_bytes + size_bytes > buffer.numel():
        raise ValueError(f'Tensor "{name}" of {size_bytes} bytes at {offset_bytes} is outside of the buffer')
    if size_bytes == 0:
        return torch.empty(as_shape, dtype=as_type, device=buffer.device)
    if (buffer.data_ptr() + offset_bytes) % as_type.itemsize != 0:
        raise ValueError(f'Tensor "{name}" at {offset_bytes} is not aligned to {as_type.itemsize} bytes')
    return buffer[offset_bytes : offset_bytes + size_bytes].view(as_type).view(as_shape)
