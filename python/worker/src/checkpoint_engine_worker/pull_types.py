"""The values that the recorder, the proof and the pull exchange with a session. Plain data: numpy columns, no torch.

A *box* is `rows` runs of `row_bytes` bytes whose starts are `pitch` bytes apart. All numbers are bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Int64s: TypeAlias = "npt.NDArray[np.int64]"

#: Id, handle and bytes of a region.
RegionName: TypeAlias = tuple[int, bytes, int]

#: Bits of one element, by the names that safetensors uses.
_BITS = {
    4: ("F4",),
    8: ("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "F8_E8M0"),
    16: ("U16", "I16", "F16", "BF16"),
    32: ("U32", "I32", "F32"),
    64: ("U64", "I64", "F64", "C64"),
}
DTYPE_BITS = {name: bits for bits, names in _BITS.items() for name in names}


@dataclass(frozen=True)
class TensorMeta:
    """One tensor of a checkpoint. Its index is its position in the list that `record` gets."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        return math.prod(self.shape) * DTYPE_BITS[self.dtype] // 8


@dataclass(frozen=True)
class Needs:
    """The boxes of tensors that a worker pulls, and the tensors that it needs whole for the engine's loader."""

    tensor: npt.NDArray[np.uint32]
    offset: Int64s
    rows: Int64s
    row_bytes: Int64s
    pitch: Int64s
    rest: npt.NDArray[np.uint32]

    @property
    def size_bytes(self) -> int:
        return int((self.rows * self.row_bytes).sum())


@dataclass(frozen=True)
class Places:
    """Locations of bytes: `size` bytes of `tensor` from `tensor_offset` are at `offset` of `region`."""

    tensor: npt.NDArray[np.uint32]
    tensor_offset: Int64s
    size: Int64s
    region: npt.NDArray[np.uint32]
    offset: Int64s

    def sorted(self) -> Places:
        """Returns the same places by tensor, then by offset in the tensor."""
        order = np.lexsort((self.tensor_offset, self.tensor))
        return Places(
            self.tensor[order], self.tensor_offset[order], self.size[order], self.region[order], self.offset[order]
        )


@dataclass(frozen=True)
class Windows:
    """Ranges of tensors, in order and without overlap."""

    tensor: npt.NDArray[np.uint32]
    offset: Int64s
    size: Int64s


@dataclass(frozen=True)
class MappedRegion:
    """Memory that the worker can read: `address` is valid for this process and, once registered, for its device.

    `keep` is an object that keeps the mapping alive.
    """

    address: int
    size_bytes: int
    keep: object = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Summary:
    """The decisions for the modules of an engine, with reasons."""

    modules: int
    direct: int
    staged: int
    opaque: int
    reasons: tuple[tuple[str, str], ...]
    recorded_ms: float
    proved_ms: float
    #: Whether the recording comes from the engine's loader, or from the cache.
    source: str = "loader"
    #: Direct modules that are proved through their kind, and the number of kinds.
    represented: int = 0
    kinds: int = 0

    def __str__(self) -> str:
        kinds: dict[str, int] = {}
        for _, reason in self.reasons:
            kinds[reason] = kinds.get(reason, 0) + 1
        why = "; ".join(f"{count} because {reason}" for reason, count in kinds.items())
        text = f"{self.direct} of {self.modules} modules direct, {self.staged} staged, {self.opaque} opaque"
        return f"{text}: {why}" if why else text
