"""What executes a copy table on a kind of device. No torch."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from checkpoint_engine_worker.digest import Uint64s
from checkpoint_engine_worker.errors import CheckpointEngineError
from checkpoint_engine_worker.host_digest import host_digests
from checkpoint_engine_worker.host_pieces import copy_pieces, equal_pieces
from checkpoint_engine_worker.pieces import cut, of_all
from checkpoint_engine_worker.pull_types import Int64s, MappedRegion

#: What a thread takes at a time.
_CUT_BYTES = 1 << 20


class Copier(Protocol):
    """Copies pieces into the memory of one device, or compares them."""

    def register(self, region: MappedRegion) -> MappedRegion:
        """The region as the device can read it. Page-locks host memory, once for a region."""
        ...

    def unregister(self, region: MappedRegion) -> None:
        """Undoes `register`. Once is enough, more often is allowed."""
        ...

    def warm(self) -> None:
        """Compiles whatever any table may need: for tables that are made during an update, from the slots of a ring."""
        ...

    def prepare(self, table: Int64s) -> Any:
        """Whatever takes time and can be done before an update: compilation, upload of the table."""
        ...

    def copy(self, prepared: Any) -> None:
        """Copies all pieces. Returns when the bytes are there."""
        ...

    def equal(self, table: Int64s) -> npt.NDArray[np.bool_]:
        """For each piece, whether source and destination hold the same bytes."""
        ...

    def digests(self, table: Int64s, sum_of: Int64s, count: int) -> Uint64s:
        """Sums of the digests of pieces whose source is a position in a tensor: `host_digests`."""
        ...


class HostCopier:
    """For engines whose parameters are in the memory of this process."""

    def register(self, region: MappedRegion) -> MappedRegion:
        return region

    def unregister(self, region: MappedRegion) -> None:
        pass

    def warm(self) -> None:
        pass

    def prepare(self, table: Int64s) -> Int64s:
        return cut(table, _CUT_BYTES)[0]

    def copy(self, prepared: Int64s) -> None:
        copy_pieces(prepared)

    def equal(self, table: Int64s) -> npt.NDArray[np.bool_]:
        pieces, parent = cut(table, _CUT_BYTES)
        return of_all(equal_pieces(pieces), parent, len(table))

    def digests(self, table: Int64s, sum_of: Int64s, count: int) -> Uint64s:
        return host_digests(table, sum_of, count)


def copier_for(device: Any) -> Copier:
    """The copier of a device: `cpu`, `cuda`, `cuda:1`."""
    name = str(device)
    if name == "cpu":
        return HostCopier()
    if name.split(":")[0] == "cuda":
        from checkpoint_engine_worker.cuda_copier import CudaCopier

        return CudaCopier.of(device)
    raise CheckpointEngineError(
        "CE_NOT_SUPPORTED", f"Weights cannot be pulled into a device of kind {name}", "Update it by buckets"
    )
