"""Values for tensors that an engine loads on trial: finite, different from place to place, and hardly any memory.

Tensors are views of one row of random numbers for each type, each from another place on. Imports torch.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from checkpoint_engine_worker.pull_types import TensorMeta
from checkpoint_engine_worker.tensor_map import span_of
from checkpoint_engine_worker.torch_dtypes import as_bytes, torch_dtype

#: Bytes of a row of numbers. A larger tensor gets memory of its own.
_ROW_BYTES = 4 << 20
#: Tensors of one shape begin this many elements apart, which is odd and no power of two.
_STEP = 4099


class TrialValues:
    """Makes tensors for a trial."""

    def __init__(self, device: Any, seed: int) -> None:
        self._device = torch.device(device)
        self._generator = torch.Generator("cpu").manual_seed(seed)
        self._rows: dict[Any, Any] = {}

    def tensor(self, index: int, meta: TensorMeta) -> Any:
        """A tensor of that type and shape. `index` is its position in the checkpoint."""
        dtype = torch_dtype(meta.dtype)
        assert dtype is not None  # noqa: S101  the recorder had a type for it
        count = math.prod(meta.shape)
        return self._elements(dtype, count, index).view(meta.shape)

    def _elements(self, dtype: Any, count: int, number: int) -> Any:
        """That many numbers, others for another number."""
        row = self._rows.get(dtype)
        if row is None:
            row = self._rows[dtype] = self._random(dtype, _ROW_BYTES // torch.empty((), dtype=dtype).element_size())
        if count > len(row) // 2:
            times = -(-count // len(row))
            return torch.cat([row.view(_bits(dtype))] * times)[:count].view(dtype)
        start = number * _STEP % (len(row) - count)
        return row[start : start + count]

    def bytes_like(self, number: int, tensor: Any) -> Any:
        """Bytes for a tensor of that form, others for another number."""
        return as_bytes(self._elements(tensor.dtype, span_of(tensor) // tensor.element_size(), number))

    def _random(self, dtype: Any, count: int) -> Any:
        return finite(dtype, count, self._generator).to(self._device)


def finite(dtype: Any, count: int, generator: Any) -> Any:
    """Random numbers of a type in host memory: positive and of usual sizes where it is a floating point type."""

    def integers(low: int, high: int) -> Any:
        return torch.randint(low, high, (count,), generator=generator, dtype=torch.int64, device="cpu")

    if dtype == torch.bool:
        return integers(0, 2).to(dtype)
    if not dtype.is_floating_point:
        info = torch.iinfo(dtype)
        return integers(info.min, info.max).to(dtype)
    if dtype.itemsize > 1:
        return torch.rand(count, generator=generator, device="cpu").add_(0.25).to(dtype)
    data = integers(0, 256).to(torch.uint8)
    # The types of 8 bits have their infinities and what is no number where all bits of the exponent are set.
    exponent = 0x7C if dtype == torch.float8_e5m2 else 0x78
    data[(data & exponent) == exponent] = 0x31
    return data.view(dtype)


def _bits(dtype: Any) -> Any:
    """An integer type of the same size: not all operations know the small floating point types."""
    return {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[dtype.itemsize]
