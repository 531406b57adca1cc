"""The worker extension that vLLM is started with for measurements: another one, and a digest of all parameters beside it.

BENCH_EXTENSION names the other one, or several with commas. By default it is the Python tool's own, unmodified. Where the
receiver is among them, `bench_offer` says whether the server owns up to it: so one server is measured both ways.
"""

import importlib
import os

import torch

BASE = os.environ.get("BENCH_EXTENSION", "checkpoint_engine.worker.VllmColocateWorkerExtension")


def _named(path: str) -> type:
    module, _, name = path.strip().rpartition(".")
    return getattr(importlib.import_module(module), name)


Bases = tuple(_named(path) for path in BASE.split(","))

# Words that are digested at a time: a bound of the memory that it takes.
CHUNK = 1 << 25
MASK = (1 << 64) - 1


def digest_of(tensor: torch.Tensor) -> int:
    """Depends on every byte and on where it is; the same on every device."""
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


class BenchExtension(*Bases):
    def checkpoint_engine_describe(self) -> dict:
        """What the receiver says, where it is there and offered."""
        describe = getattr(super(BenchExtension, self), "checkpoint_engine_describe", None)
        if describe is None or not getattr(self, "_bench_offers", False):
            return {"protocols": []}
        return describe()

    def bench_offer(self, offers: bool) -> None:
        self._bench_offers = offers

    def bench_digest(self) -> dict:
        """Of this worker's model."""
        model = self.model_runner.get_model() if hasattr(self.model_runner, "get_model") else self.model_runner.model
        total, count = 0, 0
        for name, tensor in sorted([*model.named_parameters(), *model.named_buffers()], key=lambda item: item[0]):
            if tensor is None or tensor.numel() == 0:
                continue
            count += 1
            total = (total * 1000003 + digest_of(tensor)) & MASK
        return {"digest": f"{total:016x}", "tensors": count}
