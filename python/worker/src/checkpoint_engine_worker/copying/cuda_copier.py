"""Executes copy tables on a CUDA device: copy engines copy wide pieces, a kernel the rest. Imports torch.

Both read page-locked host memory over the device's own link, and write directly into the parameters.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from checkpoint_engine_worker.copying import cuda_runtime
from checkpoint_engine_worker.copying.pull_kernels import launch_compare, launch_copy
from checkpoint_engine_worker.digest import Uint64s
from checkpoint_engine_worker.errors import CheckpointEngineError
from checkpoint_engine_worker.pull_types import Int64s, MappedRegion
from checkpoint_engine_worker.tables.copy_engines import for_copy_engines, nothing_for_copy_engines
from checkpoint_engine_worker.tables.pieces import cut, of_all
from checkpoint_engine_worker.tables.word_tables import WordTable, every_kind, word_tables

if TYPE_CHECKING:
    from checkpoint_engine_worker.digest.device import DevicePieces

_LOG = logging.getLogger(__name__)

#: Programs of the copy kernel: enough to fill a PCIe link with pieces of 2 KiB, with a small part of the device.
PROGRAMS = 64
#: Programs of the comparison, which runs while the engine is paused.
COMPARE_PROGRAMS = 132
#: Pieces for the kernels are cut to this, so that programs get equal shares.
CUT_BYTES = 128 << 10


@dataclass(frozen=True)
class _Launch:
    words: WordTable
    device_table: Any


@dataclass(frozen=True)
class Prepared:
    """A table on the device, with its compiled kernels, and the copies for the copy engines."""

    launches: tuple[_Launch, ...]
    runs: Int64s
    rows: Int64s


class CudaCopier:
    """The copier of a device. A process has one per device (`of`), so memory is page-locked once for all tables."""

    def __init__(self, device: Any, *, copy_engines: bool = True, programs: int = PROGRAMS) -> None:
        self._device = torch.device(device)
        self._copy_engines = copy_engines
        self._programs = programs
        self._lock = threading.Lock()
        #: By address: the number of registrations, and whether this class page-locked the memory.
        self._registered: dict[int, tuple[int, bool]] = {}
        self._compiled: set[tuple[int, int]] = set()
        #: Whether the kernels of digests compile; unknown before the first table.
        self._has_digests: bool | None = None
        with torch.cuda.device(self._device):
            self._stream = torch.cuda.Stream(self._device)
            self._engine_stream = torch.cuda.Stream(self._device)

    @staticmethod
    def of(device: Any) -> CudaCopier:
        found = torch.device(device)
        return _copier(torch.cuda.current_device() if found.index is None else found.index)

    def register(self, region: MappedRegion) -> MappedRegion:
        with self._lock, torch.cuda.device(self._device):
            count, mine = self._registered.get(region.address, (0, False))
            if count == 0:
                mine = cuda_runtime.register_host_memory(region.address, region.size_bytes)
            self._registered[region.address] = (count + 1, mine)
            address = cuda_runtime.device_address(region.address)
        return MappedRegion(address, region.size_bytes, region.keep)

    def unregister(self, region: MappedRegion) -> None:
        with self._lock, torch.cuda.device(self._device):
            count, mine = self._registered.get(region.address, (0, False))
            if count > 1:
                self._registered[region.address] = (count - 1, mine)
            elif count == 1:
                del self._registered[region.address]
                if mine:
                    torch.cuda.synchronize(self._device)
                    cuda_runtime.unregister_host_memory(region.address)

    def warm(self) -> None:
        self.prepare(every_kind())

    def prepare(self, table: Int64s) -> Prepared:
        share = for_copy_engines(table) if self._copy_engines else nothing_for_copy_engines(table)
        pieces, _ = cut(share.rest, CUT_BYTES)
        with torch.cuda.device(self._device), torch.cuda.stream(self._stream):
            launches = tuple(
                _Launch(words, torch.from_numpy(words.table).to(self._device)) for words in word_tables(pieces)
            )
            for launch in launches:
                if launch.words.key not in self._compiled:
                    # Runs on zero pieces, so that compilation never happens during an update.
                    launch_copy(launch.device_table, launch.words, 0, self._programs)
                    self._compiled.add(launch.words.key)
            self._stream.synchronize()
            self._warm_digests()
        return Prepared(launches, share.runs, share.rows)

    def _warm_digests(self) -> None:
        """Compiles the kernels of digests. Without them, weights are pulled but not verified."""
        from checkpoint_engine_worker.digest.device import warm_digests

        if self._has_digests is not None:
            return
        try:
            warm_digests(self._device)
            self._stream.synchronize()
            self._has_digests = True
        except Exception:
            _LOG.warning("Weights are not verified: the kernels of digests cannot be compiled", exc_info=True)
            self._has_digests = False

    def copy(self, prepared: Prepared) -> None:
        with torch.cuda.device(self._device):
            # Work that the engine has queued on the parameters runs first.
            now = torch.cuda.current_stream(self._device).record_event()
            self._stream.wait_event(now)
            self._engine_stream.wait_event(now)
            with torch.cuda.stream(self._stream):
                for launch in prepared.launches:
                    launch_copy(launch.device_table, launch.words, len(launch.words.table), self._programs)
            stream = self._engine_stream.cuda_stream
            for source, destination, _, size, _, _ in prepared.runs.tolist():
                cuda_runtime.copy_async(destination, source, size, stream)
            for source, destination, count, size, source_pitch, pitch in prepared.rows.tolist():
                cuda_runtime.copy_rows_async(destination, pitch, source, source_pitch, size, count, stream)
            self._stream.synchronize()
            self._engine_stream.synchronize()

    def equal(self, table: Int64s) -> npt.NDArray[np.bool_]:
        pieces, parent = cut(table, CUT_BYTES)
        found = np.zeros(len(pieces), dtype=np.bool_)
        with torch.cuda.device(self._device):
            self._stream.wait_stream(torch.cuda.current_stream(self._device))
            with torch.cuda.stream(self._stream):
                for words in word_tables(pieces):
                    device_table = torch.from_numpy(words.table).to(self._device)
                    unequal = torch.empty(len(words.table), dtype=torch.int32, device=self._device)
                    launch_compare(device_table, unequal, words, len(words.table), COMPARE_PROGRAMS)
                    found[words.piece] = unequal.cpu().numpy() == 0
        return of_all(found, parent, len(table))

    def prepare_digests(self, table: Int64s, sum_of: Int64s, count: int) -> DevicePieces:
        from checkpoint_engine_worker.digest.device import upload_pieces

        if self._has_digests is False:
            raise CheckpointEngineError(
                "CE_NOT_SUPPORTED", "The kernels of digests cannot be compiled here", "See the engine's log"
            )
        with torch.cuda.device(self._device), torch.cuda.stream(self._stream):
            return upload_pieces(table, sum_of, count, self._device)

    def digests(self, prepared: DevicePieces) -> Uint64s:
        from checkpoint_engine_worker.digest.device import digest_pieces

        with torch.cuda.device(self._device):
            self._stream.wait_stream(torch.cuda.current_stream(self._device))
            with torch.cuda.stream(self._stream):
                return digest_pieces(prepared)


@cache
def _copier(index: int) -> CudaCopier:
    return CudaCopier(torch.device("cuda", index))
