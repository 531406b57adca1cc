"""Executes copy tables on a CUDA device: wide runs by the copy engines, all others by one kernel. Imports torch.

Both read page-locked host memory over the device's own link, and write straight into the parameters.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from checkpoint_engine_worker import cuda_runtime
from checkpoint_engine_worker.pieces import P_DESTINATION, P_ROW_BYTES, P_ROWS, P_SOURCE, P_SOURCE_PITCH
from checkpoint_engine_worker.pull_kernels import launch_compare, launch_copy
from checkpoint_engine_worker.pull_types import Int64s, MappedRegion
from checkpoint_engine_worker.word_tables import WordTable, every_kind, word_tables

#: Single runs, joined over adjacent pieces, of at least this many bytes go by the copy engines.
COPY_ENGINE_BYTES = 8 << 20
#: Programs of the copy kernel: what fills a PCIe link with little of the device.
PROGRAMS = 32
#: Programs of the comparison, which runs while the engine is paused.
COMPARE_PROGRAMS = 132


@dataclass(frozen=True)
class _Launch:
    words: WordTable
    device_table: Any


@dataclass(frozen=True)
class Prepared:
    """A table on the device, with its kernels compiled, and the runs for the copy engines."""

    launches: tuple[_Launch, ...]
    runs: Int64s
    count: int


class CudaCopier:
    """One for each device of a process (`of`), so that memory is page-locked once however many tables read it."""

    def __init__(self, device: Any, *, copy_engine_bytes: int = COPY_ENGINE_BYTES, programs: int = PROGRAMS) -> None:
        self._device = torch.device(device)
        self._copy_engine_bytes = copy_engine_bytes
        self._programs = programs
        self._lock = threading.Lock()
        #: By address: how often it is registered, and whether that was done here.
        self._registered: dict[int, tuple[int, bool]] = {}
        self._compiled: set[tuple[int, int]] = set()
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
        runs, rest = wide_runs(table, self._copy_engine_bytes)
        with torch.cuda.device(self._device), torch.cuda.stream(self._stream):
            launches = tuple(
                _Launch(words, torch.from_numpy(words.table).to(self._device)) for words in word_tables(table[rest])
            )
            for launch in launches:
                if launch.words.key not in self._compiled:
                    # On no pieces: compilation never falls into an update.
                    launch_copy(launch.device_table, launch.words, 0, self._programs)
                    self._compiled.add(launch.words.key)
            self._stream.synchronize()
        return Prepared(launches, runs, len(table))

    def copy(self, prepared: Prepared) -> None:
        with torch.cuda.device(self._device):
            # Whatever the engine queued on the parameters comes first.
            now = torch.cuda.current_stream(self._device).record_event()
            self._stream.wait_event(now)
            self._engine_stream.wait_event(now)
            with torch.cuda.stream(self._stream):
                for launch in prepared.launches:
                    launch_copy(launch.device_table, launch.words, len(launch.words.table), self._programs)
            stream = self._engine_stream.cuda_stream
            for source, destination, _, size, _, _ in prepared.runs.tolist():
                cuda_runtime.copy_async(destination, source, size, stream)
            self._stream.synchronize()
            self._engine_stream.synchronize()

    def equal(self, table: Int64s) -> npt.NDArray[np.bool_]:
        found = np.zeros(len(table), dtype=np.bool_)
        with torch.cuda.device(self._device):
            self._stream.wait_stream(torch.cuda.current_stream(self._device))
            with torch.cuda.stream(self._stream):
                for words in word_tables(table):
                    device_table = torch.from_numpy(words.table).to(self._device)
                    unequal = torch.empty(len(words.table), dtype=torch.int32, device=self._device)
                    launch_compare(device_table, unequal, words, len(words.table), COMPARE_PROGRAMS)
                    found[words.piece] = unequal.cpu().numpy() == 0
        return found


@cache
def _copier(index: int) -> CudaCopier:
    return CudaCopier(torch.device("cuda", index))


def wide_runs(table: Int64s, least_bytes: int) -> tuple[Int64s, npt.NDArray[np.bool_]]:
    """(single runs of at least so many bytes, joined from adjacent pieces; which pieces are not in them)."""
    rest = np.ones(len(table), dtype=np.bool_)
    single = np.flatnonzero(table[:, P_ROWS] == 1)
    if not len(single):
        return (np.zeros((0, 6), dtype=np.int64), rest)
    part = table[single]
    order = np.argsort(part[:, P_DESTINATION], kind="stable")
    single, part = single[order], part[order]
    size = part[:, P_ROW_BYTES]
    follows = (part[1:, P_DESTINATION] == part[:-1, P_DESTINATION] + size[:-1]) & (
        part[1:, P_SOURCE] == part[:-1, P_SOURCE] + size[:-1]
    )
    run = np.concatenate([[0], np.cumsum(~follows)])
    sizes = np.bincount(run, weights=size).astype(np.int64)
    first = np.concatenate([[True], ~follows])
    wide = sizes >= least_bytes
    runs = part[first][wide].copy()
    runs[:, P_ROW_BYTES] = sizes[wide]
    runs[:, P_SOURCE_PITCH:] = 0
    rest[single[wide[run]]] = False
    return (runs, rest)
