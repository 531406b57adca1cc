"""Checks the pull on one GPU against copies on the host, and measures it. Needs torch, triton, numpy; no network.

    PYTHONPATH=python/worker/src python apps/bench/python/pull_kernel_check.py [--seconds 300] [--quick]

Prints one JSON object per line; the last one has `"wrong": 0` if everything was right. Otherwise the exit status is 1.
"""

from __future__ import annotations

import argparse
import json
import mmap
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from checkpoint_engine_worker.copying import cuda_runtime
from checkpoint_engine_worker.copying.cuda_copier import CudaCopier
from checkpoint_engine_worker.copying.pull_table import PullTable
from checkpoint_engine_worker.engine import Engine
from checkpoint_engine_worker.errors import CheckpointEngineError
from checkpoint_engine_worker.proof.proof import prove
from checkpoint_engine_worker.pull_types import MappedRegion
from checkpoint_engine_worker.recorder.record import record
from checkpoint_engine_worker.tables.host_pieces import copy_pieces
from checkpoint_engine_worker.tables.pieces import cut
from record_scale import Model, metas, places_of

WRONG = 0
DTYPES = {"F8_E4M3": torch.float8_e4m3fn, "F32": torch.float32, "BF16": torch.bfloat16}


def say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


def check(name: str, right: bool) -> None:
    global WRONG
    WRONG += not right
    say(check=name, right=right)


def best(run: Callable[[], object], times: int = 4) -> float:
    """The shortest of some runs, in seconds; each one ends with the device idle."""
    found = []
    for _ in range(times):
        torch.cuda.synchronize()
        started = time.perf_counter()
        run()
        torch.cuda.synchronize()
        found.append(time.perf_counter() - started)
    return min(found)


class Pool:
    """Page-locked host memory with random bytes."""

    def __init__(self, size: int, copier: CudaCopier) -> None:
        self.bytes = torch.empty(size, dtype=torch.uint8)
        self.refill()
        self.region = MappedRegion(self.bytes.data_ptr(), size, self.bytes)
        started = time.perf_counter()
        self.mapped = copier.register(self.region)
        say(register_GBps=round(size / (time.perf_counter() - started) / 1e9, 1), gb=round(size / 1e9, 2))

    def refill(self) -> None:
        self.bytes.view(torch.int64).random_() if self.bytes.numel() % 8 == 0 else self.bytes.random_(0, 256)


def random_table(random: np.random.Generator, source: int, size: int, count: int) -> Any:
    """Returns pieces of all alignments and pitches, with destinations from 0 on, and the bytes of the destination."""
    rows, at = [], 0
    for _ in range(count):
        unit = int(random.choice([1, 2, 4, 8, 16, 16]))
        row_bytes = int(random.integers(1, 4000)) * unit
        n = int(random.integers(1, 40))
        source_pitch = 0 if random.integers(0, 12) == 0 else row_bytes + int(random.integers(0, 30)) * unit
        pitch = row_bytes + int(random.integers(0, 5)) * unit
        span = (n - 1) * source_pitch + row_bytes
        start = int(random.integers(0, (size - span) // unit)) * unit
        at = -(-at // unit) * unit
        rows.append((source + start, at, n, row_bytes, source_pitch, pitch))
        at += (n - 1) * pitch + row_bytes
    return (np.array(rows, dtype=np.int64), at)


def correctness(copier: CudaCopier, pool: Pool) -> None:
    random = np.random.default_rng(3)
    on_device = pool.bytes[: 64 << 20].cuda()
    for name, source, host in (
        ("page-locked host memory", pool.mapped.address, pool.bytes.data_ptr()),
        ("device memory", on_device.data_ptr(), pool.bytes.data_ptr()),
    ):
        for cut_bytes in (4096, 128 << 10):
            table, size = random_table(random, 0, 64 << 20, 300)
            destination = torch.zeros(size, dtype=torch.uint8, device="cuda")
            wanted = torch.zeros(size, dtype=torch.uint8)
            there, here = table.copy(), table.copy()
            there[:, 0] += source
            there[:, 1] += destination.data_ptr()
            here[:, 0] += host
            here[:, 1] += wanted.data_ptr()
            pieces, parent = cut(there, cut_bytes)
            destination_of_engines = torch.zeros(size, dtype=torch.uint8, device="cuda")
            uncut = there.copy()
            uncut[:, 1] += destination_of_engines.data_ptr() - destination.data_ptr()
            copier.copy(copier.prepare(uncut))
            copy_pieces(here)
            copier.copy(copier.prepare(pieces))
            check(f"copy from {name}, pieces of {cut_bytes}", torch.equal(destination.cpu(), wanted))
            check(f"copy from {name} with copy engines", torch.equal(destination_of_engines.cpu(), wanted))
            check(f"compare with {name}", bool(copier.equal(pieces).all()))
            last = table[-1]
            destination[int(last[1] + (last[2] - 1) * last[5] + last[3] - 1)] ^= 1
            unequal = set(parent[~copier.equal(pieces)].tolist())
            check(f"a changed byte is found in {name}", unequal == {len(table) - 1})


def read_only(copier: CudaCopier, size: int) -> None:
    """Checks memory of /dev/shm that is mapped read-only, as a worker maps the memory of a parameter server."""
    with tempfile.NamedTemporaryFile(dir="/dev/shm", prefix="pull-kernel-check-") as file:
        wanted = np.random.default_rng(5).integers(0, 256, size, dtype=np.uint8)
        file.write(wanted.tobytes())
        file.flush()
        memory = mmap.mmap(file.fileno(), size, mmap.MAP_SHARED, mmap.PROT_READ)
        address = int(np.frombuffer(memory, dtype=np.uint8).ctypes.data)
        region = MappedRegion(address, size, memory)
        started = time.perf_counter()
        try:
            mapped = copier.register(region)
        except CheckpointEngineError as error:
            say(read_only="refused", error=str(error))
            return
        seconds = time.perf_counter() - started
        for name, source in (("kernel", 2048), ("copy engine", size)):
            destination = torch.zeros(size, dtype=torch.uint8, device="cuda")
            copier.copy(copier.prepare(pieces_of(mapped.address, destination.data_ptr(), size, source)))
            check(f"{name}, memory mapped read-only", bool((destination.cpu().numpy() == wanted).all()))
        copier.unregister(region)
        say(read_only="registered", GBps=round(size / seconds / 1e9, 1))


def pieces_of(source: int, destination: int, total: int, size: int) -> Any:
    count = total // size
    i = np.arange(count, dtype=np.int64)[np.random.default_rng(1).permutation(count)]
    columns = [source + i * size, destination + i * size, *(np.full(count, v) for v in (1, size, 0, 0))]
    return np.stack(columns, axis=1)


def throughput(pool: Pool, total: int) -> None:
    destination = torch.zeros(total, dtype=torch.uint8, device="cuda")
    device_source = pool.bytes[:total].cuda()
    stream = torch.cuda.current_stream().cuda_stream
    for programs in (8, 16, 32, 64, 132):
        copier = CudaCopier("cuda:0", copy_engines=False, programs=programs)
        found = {}
        for size in (2048, 4096, 16384, 65536, 131072, 1 << 20):
            prepared = copier.prepare(pieces_of(pool.mapped.address, destination.data_ptr(), total, size))
            found[size] = round(total / best(partial(copier.copy, prepared)) / 1e9, 1)
        say(
            what="kernel, page-locked host memory, GB/s by piece",
            programs=programs,
            **{str(k): v for k, v in found.items()},
        )
    found = {}
    for size in (16384, 131072, 1 << 20, 8 << 20, 64 << 20):
        part = min(total, size * 4096)
        rows = pieces_of(pool.mapped.address, destination.data_ptr(), part, size).tolist()

        def engine(rows: Any = rows) -> None:
            for source, target, _, count, _, _ in rows:
                cuda_runtime.copy_async(target, source, count, stream)

        found[size] = round(part / best(engine) / 1e9, 1)
    say(what="copy engine, page-locked host memory, GB/s by run", by_run=found)
    copier = CudaCopier("cuda:0", copy_engines=False)
    for row in (64, 128, 256, 512, 1024, 2048, 4096, 16384):
        pitch, rows_count = row * 8, total // (row * 8)
        wide = np.array([(pool.mapped.address, destination.data_ptr(), rows_count, row, pitch, row)], dtype=np.int64)
        prepared = copier.prepare(cut(wide, 128 << 10)[0])
        kernel = rows_count * row / best(partial(copier.copy, prepared)) / 1e9

        def engine_rows(row: int = row, pitch: int = pitch, count: int = rows_count) -> None:
            cuda_runtime.copy_rows_async(destination.data_ptr(), row, pool.mapped.address, pitch, row, count, stream)

        engine_GBps = rows_count * row / best(engine_rows) / 1e9  # noqa: N806
        say(what="rows, one of 8, GB/s", row=row, kernel=round(kernel, 1), copy_engine=round(engine_GBps, 1))
    for programs in (32, 132, 264, 528):
        copier = CudaCopier("cuda:0", copy_engines=False, programs=programs)
        found = {}
        for size in (2048, 3584, 16384, 131072):
            prepared = copier.prepare(
                pieces_of(device_source.data_ptr(), destination.data_ptr(), total // size * size, size)
            )
            found[size] = round(total / best(partial(copier.copy, prepared)) / 1e9)
        say(what="kernel, device memory, GB/s by piece", programs=programs, by_piece=found)
    copier = CudaCopier("cuda:0")
    for name, source in (("page-locked host memory", pool.mapped.address), ("device memory", device_source.data_ptr())):
        table = pieces_of(source, destination.data_ptr(), total, 131072)
        copier.copy(copier.prepare(table))
        say(what=f"compare with {name}, GB/s", GBps=round(total / best(partial(copier.equal, table)) / 1e9, 1))


def kimi(copier: CudaCopier, ranks: int, hidden: int, inner: int) -> None:
    """Records, loads, proves, pulls other bytes and compares, for Kimi-K2's list of tensors with scaled shapes."""
    tensors = metas(61, 384, hidden, inner)
    places, _ = places_of(tensors)
    size = -(-int(places.offset[-1] + places.size[-1]) // 4096) * 4096
    pool = Pool(size, copier)
    model = Model(61, 384, ranks, ranks - 1, hidden, inner, "cuda")
    engine = Engine(model.load_weights, [("", model)], "cuda:0")
    recording = record(engine, tensors)
    started = time.perf_counter()
    views = []
    for meta, offset in zip(tensors, places.offset.tolist(), strict=True):
        data = pool.bytes[offset : offset + meta.size_bytes].view(DTYPES[meta.dtype])
        views.append((meta.name, data.view(meta.shape)))
    model.load_weights(views)
    torch.cuda.synchronize()
    loaded = time.perf_counter() - started
    regions = {0: pool.region}
    result = prove(recording, places, regions, "cuda:0", copier=copier)
    result.accept(recording, recording.fingerprint)
    summary = recording.summary()
    check(f"all modules direct, TP{ranks}", summary.direct == summary.modules)
    started = time.perf_counter()
    table = PullTable(recording, places, regions, "cuda:0", copier=copier)
    prepared = time.perf_counter() - started
    pool.refill()
    times = []
    for _ in range(3):
        started = time.perf_counter()
        pulled = table.execute()
        times.append(time.perf_counter() - started)
    again = prove(recording, places, regions, "cuda:0", copier=copier)
    check(f"pulled bytes equal the pool's, TP{ranks}", all(v.kind == "direct" for v in again.verdicts))
    say(
        what=f"{len(tensors)} tensors, TP{ranks}",
        gb=round(pulled / 1e9, 2),
        record_ms=round(recording.recorded_ms),
        load_ms=round(loaded * 1e3),
        prove_ms=round(result.proved_ms),
        prepare_ms=round(prepared * 1e3),
        pull_ms=[round(t * 1e3, 1) for t in times],
        pull_GBps=round(pulled / min(times) / 1e9, 1),
        peak_MiB_beyond=round((torch.cuda.max_memory_allocated() - torch.cuda.memory_allocated()) / 2**20, 1),
    )
    table.close()
    copier.unregister(pool.region)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, no table of Kimi-K2's tensors")
    options = parser.parse_args()
    say(device=torch.cuda.get_device_name(0), torch=torch.__version__)
    copier = CudaCopier.of("cuda:0")
    total = (256 << 20) if options.quick else (2 << 30)
    pool = Pool(total, copier)
    started = time.perf_counter()
    correctness(copier, pool)
    read_only(copier, 256 << 20)
    say(correctness_s=round(time.perf_counter() - started, 1))
    throughput(pool, total)
    copier.unregister(pool.region)
    del pool
    if not options.quick:
        for ranks in (4, 1):
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            kimi(copier, ranks, 512, 256)
    say(wrong=WRONG)
    return 1 if WRONG else 0


if __name__ == "__main__":
    sys.exit(main())
