"""Values for tensors that an engine loads on trial: finite, different at each position, and with little memory.

Tensors are views of one row of random numbers per type, each with another start. Imports torch.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from checkpoint_engine_worker.pull_types import TensorMeta
from checkpoint_engine_worker.tensors.tensor_map import span_of
from checkpoint_engine_worker.tensors.torch_dtypes import as_bytes, torch_dtype

#: Bytes of a row of numbers. A larger tensor gets its own memory.
_ROW_BYTES = 4 << 20
#: Distance between the starts of tensors of one shape, in elements: odd and not a power of two.
_STEP = 4099


class TrialValues:
    """Creates tensors for a trial."""

    def __init__(self, device: Any, seed: int) -> None:
        self._device = torch.device(device)
        self._generator = torch.Generator("cpu").manual_seed(seed)
        self._rows: dict[Any, Any] = {}

    def tensor(self, index: int, meta: TensorMeta) -> Any:
        """Returns a tensor of a type and shape. `index` is its position in the checkpoint."""
        dtype = torch_dtype(meta.dtype)
        assert dtype is not None  # noqa: S101  the recorder had a type for it
        count = math.prod(meta.shape)
        return self._elements(dtype, count, index).view(meta.shape)

    def _elements(self, dtype: Any, count: int, number: int) -> Any:
        """Returns `count` numbers, which differ by seed."""
        row = self._rows.get(dtype)
        if row is None:
            row = self._rows[dtype] = self._random(dtype, _ROW_BYTES // torch.empty((), dtype=dtype).element_size())
        if count > len(row) // 2:
            times = -(-count // len(row))
            return torch.cat([row.view(_bits(dtype))] * times)[:count].view(dtype)
        start = number * _STEP % (len(row) - count)
        return row[start : start + count]

    def bytes_like(self, number: int, tensor: Any) -> Any:
        """Returns bytes for a tensor of a form, which differ by seed."""
        return as_bytes(self._elements(tensor.dtype, span_of(tensor) // tensor.element_size(), number))

    def _random(self, dtype: Any, count: int) -> Any:
        return finite(dtype, count, self._generator).to(self._device)


def finite(dtype: Any, count: int, generator: Any) -> Any:
    """Returns random numbers of a type in host memory: positive and of usual magnitude for floating-point types."""

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
    # In 8-bit types, infinities and NaN have all bits of the exponent set.
    exponent = 0x7C if dtype == torch.float8_e5m2 else 0x78
    data[(data & exponent) == exponent] = 0x31
    return data.view(dtype)


def _bits(dtype: Any) -> Any:
    """Returns an integer type of the same size: not all operations support the small floating-point types."""
    return {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[dtype.itemsize]
