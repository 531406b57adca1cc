"""Executes copy tables on each kind of device. Does not import torch."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from checkpoint_engine_worker.digest import Uint64s
from checkpoint_engine_worker.digest.host import host_digests
from checkpoint_engine_worker.errors import CheckpointEngineError
from checkpoint_engine_worker.pull_types import Int64s, MappedRegion
from checkpoint_engine_worker.tables.host_pieces import copy_pieces, equal_pieces
from checkpoint_engine_worker.tables.pieces import cut, of_all

#: The number of bytes that a thread takes at a time.
_CUT_BYTES = 1 << 20


class Copier(Protocol):
    """Copies pieces into the memory of one device, or compares them."""

    def register(self, region: MappedRegion) -> MappedRegion:
        """Returns the region as the device can read it. Page-locks host memory, once per region."""
        ...

    def unregister(self, region: MappedRegion) -> None:
        """Undoes `register`. Idempotent."""
        ...

    def warm(self) -> None:
        """Compiles everything that a table may need, because some tables are made during an update."""
        ...

    def prepare(self, table: Int64s) -> Any:
        """Does the slow work before an update: compilation, upload of the table."""
        ...

    def copy(self, prepared: Any) -> None:
        """Copies all pieces. Returns when the bytes have arrived."""
        ...

    def equal(self, table: Int64s) -> npt.NDArray[np.bool_]:
        """Returns for each piece whether source and destination have the same bytes."""
        ...

    def prepare_digests(self, table: Int64s, sum_of: Int64s, count: int) -> Any:
        """Does the slow work for `digests` in advance. The arguments are those of `host_digests`."""
        ...

    def digests(self, prepared: Any) -> Uint64s:
        """Returns the same sums as `host_digests`. The sources of pieces are positions in tensors."""
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

    def prepare_digests(self, table: Int64s, sum_of: Int64s, count: int) -> tuple[Int64s, Int64s, int]:
        return table, sum_of, count

    def digests(self, prepared: tuple[Int64s, Int64s, int]) -> Uint64s:
        return host_digests(*prepared)


def copier_for(device: Any) -> Copier:
    """Returns the copier of a device: `cpu`, `cuda`, `cuda:1`."""
    name = str(device)
    if name == "cpu":
        return HostCopier()
    if name.split(":")[0] == "cuda":
        from checkpoint_engine_worker.copying.cuda_copier import CudaCopier

        return CudaCopier.of(device)
    raise CheckpointEngineError(
        "CE_NOT_SUPPORTED", f"Weights cannot be pulled into a device of kind {name}", "Update it by buckets"
    )
