"""The worker extension of vLLM for measurements: it combines other extensions with a digest of all parameters.

BENCH_EXTENSION names the other extensions, separated by commas. By default it is the unmodified one of the Python tool. If
the receiver is among them, `bench_offer` sets whether the server reports it, so that one server is measured both ways.
"""

import importlib
import os
import threading
import time

import torch

BASE = os.environ.get("BENCH_EXTENSION", "checkpoint_engine.worker.VllmColocateWorkerExtension")


def _named(path: str) -> type:
    module, _, name = path.strip().rpartition(".")
    return getattr(importlib.import_module(module), name)


Bases = tuple(_named(path) for path in BASE.split(","))

# Number of words that are digested at a time, which bounds the memory.
CHUNK = 1 << 25
MASK = (1 << 64) - 1


def digest_of(tensor: torch.Tensor) -> int:
    """Returns a digest that depends on every byte and its position, and is equal on all devices."""
    data = tensor.detach().contiguous().reshape(-1).view(torch.uint8)
    padding = -data.numel() % 4
    if padding:
        data = torch.cat([data, data.new_zeros(padding)])
    words = data.view(torch.int32)
    total = 0
    for start in range(0, words.numel(), CHUNK):
        part = words[start : start + CHUNK].to(torch.int64)
        place = torch.arange(start, start + part.numel(), dtype=torch.int64, device=part.device)
        mixed = (part + place * 0x9E3779B1 + 1) * (2 * place + 0x85EBCA77)
        total = (total + int((mixed ^ (mixed >> 29)).sum().item())) & MASK
    return total


class MemoryWatch:
    """Device memory in use: before, at the peak, and after. A thread samples it, because the worker is busy."""

    def __init__(self, device: torch.device):
        self._device = device
        self._ends = threading.Event()
        torch.cuda.synchronize(device)
        # Memory in torch's cache would hide the memory of an update.
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        self._before = self._most = self._now()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def end(self) -> dict:
        """Bytes in torch's tensors, bytes that torch has from the device, and bytes of all processes on the device."""
        torch.cuda.synchronize(self._device)
        after = self._now()
        self._ends.set()
        self._thread.join(timeout=5)
        most = {name: max(self._most[name], after[name]) for name in after}
        most["allocated"] = torch.cuda.max_memory_allocated(self._device)
        most["reserved"] = torch.cuda.max_memory_reserved(self._device)
        return {"before": self._before, "most": most, "after": after, "processes": self._processes()}

    def _now(self) -> dict[str, int]:
        free, total = torch.cuda.mem_get_info(self._device)
        allocated, reserved = torch.cuda.memory_allocated(self._device), torch.cuda.memory_reserved(self._device)
        return {"allocated": allocated, "reserved": reserved, "device": total - free}

    def _sample(self) -> None:
        while not self._ends.is_set():
            now = self._now()
            self._most = {name: max(self._most[name], now[name]) for name in now}
            time.sleep(0.005)

    def _processes(self) -> dict[str, int]:
        """The driver's figures for each process on the device: bytes by process ID, in the driver's PID namespace."""
        try:
            from vllm.third_party import pynvml

            pynvml.nvmlInit()
            handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(self._device).uuid}")
            found = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
            return {str(process.pid): int(process.usedGpuMemory or 0) for process in found}
        except Exception as error:
            return {f"not known: {type(error).__name__}: {error}": 0}


class BenchExtension(*Bases):
    def checkpoint_engine_describe(self) -> dict:
        """The receiver's description, if it is installed and offered."""
        describe = getattr(super(BenchExtension, self), "checkpoint_engine_describe", None)
        if describe is None or not getattr(self, "_bench_offers", False):
            return {"protocols": []}
        return describe()

    def bench_offer(self, offers: bool) -> None:
        self._bench_offers = offers

    def bench_watch_memory(self, watches: bool) -> dict:
        """Starts to watch the device's memory, or stops and returns the figures. Empty without a GPU."""
        if not torch.cuda.is_available():
            return {}
        if watches:
            self._bench_memory = MemoryWatch(self.device)
            return {}
        return {"pid": os.getpid(), **self._bench_memory.end()}

    def bench_fault(self, fault: str) -> None:
        """Breaks the pulls of rank 0 from now on; see worker_faults."""
        from worker_faults import set_fault

        set_fault(fault if self.rank == 0 else "")

    def bench_digest(self) -> dict:
        """Returns the digest of this worker's model."""
        model = self.model_runner.get_model() if hasattr(self.model_runner, "get_model") else self.model_runner.model
        total, count = 0, 0
        for name, tensor in sorted([*model.named_parameters(), *model.named_buffers()], key=lambda item: item[0]):
            if tensor is None or tensor.numel() == 0:
                continue
            count += 1
            total = (total * 1000003 + digest_of(tensor)) & MASK
        return {"digest": f"{total:016x}", "tensors": count}
