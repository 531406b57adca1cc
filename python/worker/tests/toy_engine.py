"""A small engine and checkpoints in memory, for tests of the recorder and the pull."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from checkpoint_engine_worker.copying.pull_table import PullTable
from checkpoint_engine_worker.engine import Engine
from checkpoint_engine_worker.proof.proof import prove
from checkpoint_engine_worker.pull_types import MappedRegion, Places, TensorMeta
from checkpoint_engine_worker.recorder.record import record
from checkpoint_engine_worker.recording.fingerprint import fingerprint_of, metas_digest
from checkpoint_engine_worker.recording.recording import Recording
from checkpoint_engine_worker.tensors.torch_dtypes import as_bytes

NAMES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16", torch.uint8: "U8", torch.int32: "I32"}

Weights = dict[str, torch.Tensor]


def metas_of(weights: Weights) -> list[TensorMeta]:
    return [TensorMeta(name, NAMES[tensor.dtype], tuple(tensor.shape)) for name, tensor in weights.items()]


def random_like(weights: Weights, seed: int) -> Weights:
    """Returns other bytes of the same form; floats are finite."""
    generator = torch.Generator().manual_seed(seed)
    made = {}
    for name, tensor in weights.items():
        if tensor.is_floating_point():
            made[name] = torch.randn(tensor.shape, generator=generator).to(tensor.dtype)
        else:
            made[name] = torch.randint(0, 200, tensor.shape, generator=generator).to(tensor.dtype)
    return made


def bytes_of(tensor: torch.Tensor) -> bytes:
    return bytes(as_bytes(tensor).numpy())


class Pool:
    """A region with the tensors of a checkpoint, and their places in it."""

    def __init__(self, weights: Weights, *, gap: int = 24) -> None:
        sizes = [tensor.numel() * tensor.element_size() for tensor in weights.values()]
        starts = [gap]
        for size in sizes:
            starts.append(starts[-1] + size + gap)
        self.memory = ctypes.create_string_buffer(starts[-1] + 64)
        self.region = MappedRegion(ctypes.addressof(self.memory), starts[-1] + 64, self.memory)
        count = len(sizes)
        self.places = Places(
            np.arange(count, dtype=np.uint32),
            np.zeros(count, dtype=np.int64),
            np.array(sizes, dtype=np.int64),
            np.full(count, 7, dtype=np.uint32),
            np.array(starts[:count], dtype=np.int64),
        )
        self.regions = {7: self.region}
        self.fill(weights)

    def fill(self, weights: Weights) -> None:
        for tensor, start in zip(weights.values(), self.places.offset.tolist(), strict=True):
            data = bytes_of(tensor)
            ctypes.memmove(self.region.address + start, data, len(data))

    def cut(self, cuts: Sequence[int]) -> list[Places]:
        """Returns the same bytes in several subsets with arbitrary ends, like the successive contents of a ring."""
        rows: list[tuple[int, int, int, int, int]] = []
        steps = [max(1, c) for c in cuts] or [1 << 30]
        turn = 0
        for tensor, size, offset in zip(
            self.places.tensor.tolist(), self.places.size.tolist(), self.places.offset.tolist(), strict=True
        ):
            at = 0
            while at < size:
                step = min(steps[turn % len(steps)], size - at)
                rows.append((tensor, at, step, 7, offset + at))
                at += step
                turn += 1
        table = np.array(rows, dtype=np.int64).reshape(-1, 5)
        third = max(1, len(rows) // 3)
        return [
            Places(part[:, 0].astype(np.uint32), part[:, 1], part[:, 2], part[:, 3].astype(np.uint32), part[:, 4])
            for part in (table[:third], table[third : 2 * third], table[2 * third :])
        ]


class Toy(torch.nn.Module):  # type: ignore[misc]
    """Parameters from a seed, and the given loader."""

    def __init__(self, build: Callable[[Toy], None], load: Callable[[Toy, str, torch.Tensor], None]) -> None:
        super().__init__()
        self._load = load
        torch.manual_seed(5)
        build(self)
        for parameter in self.parameters():
            parameter.requires_grad_(False)

    def load_weights(self, weights: list[tuple[str, Any]]) -> None:
        for name, tensor in weights:
            self._load(self, name, tensor)

    def engine(self, **facts: str) -> Engine:
        return Engine(self.load_weights, [("", self)], "cpu", facts)

    def state(self) -> dict[str, bytes]:
        found = {name: bytes_of(tensor) for name, tensor in self.named_parameters(remove_duplicate=False)}
        found.update({name: bytes_of(tensor) for name, tensor in self.named_buffers(remove_duplicate=False)})
        return found


def recorded_and_proved(toy: Toy, weights: Weights, pool: Pool, *, stamped: bool = True) -> Recording:
    """Records an engine that has loaded these weights, and proves it with them."""
    metas = metas_of(weights)
    recording = record(toy.engine(), metas, stamped=stamped)
    result = prove(recording, pool.places, pool.regions, "cpu")
    result.accept(recording, fingerprint_of(toy.engine(), metas_digest(metas)))
    return recording


def update(toy: Toy, recording: Recording, weights: Weights, pool: Pool, cuts: Sequence[int] = ()) -> int:
    """Runs one update: the rest through the loader, then the pull. Returns the number of pulled bytes."""
    pool.fill(weights)
    names = list(weights)
    for group in recording.rest_groups():
        toy.load_weights([(names[i], weights[names[i]].clone()) for i in group])
    if cuts:
        table = PullTable(recording, None, pool.regions, "cpu")
        pulled = sum(table.execute(part) for part in pool.cut(cuts))
    else:
        table = PullTable(recording, pool.places, pool.regions, "cpu")
        pulled = table.execute()
    table.close()
    return pulled


def parameter(*shape: int, dtype: torch.dtype = torch.float32) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.randn(shape).to(dtype), requires_grad=False)


def linear(toy: torch.nn.Module, name: str, *shape: int, dtype: torch.dtype = torch.float32) -> Any:
    """Adds a child module with one parameter `weight`."""
    child = torch.nn.Module()
    child.weight = parameter(*shape, dtype=dtype)
    toy.add_module(name, child)
    return child


def check(
    build: Callable[[Toy], None],
    load: Callable[[Toy, str, torch.Tensor], None],
    form: Weights,
    *,
    rest: set[str],
    whole: Callable[[Toy, list[tuple[str, torch.Tensor]]], None] | None = None,
) -> tuple[Toy, Any]:
    """Records, proves, updates, compares with a fresh engine, and checks which tensors went through the loader."""

    def make() -> Toy:
        toy = Toy(build, load)
        if whole is not None:
            toy.load_weights = lambda weights: whole(toy, weights)  # type: ignore[method-assign]
        return toy

    first, second = random_like(form, 1), random_like(form, 2)
    toy = make()
    toy.load_weights(list(first.items()))
    before = toy.state()
    pool = Pool(first)
    recording = recorded_and_proved(toy, first, pool)
    assert toy.state() == before
    assert {recording.tensors[i].name for i in recording.rest().tolist()} == rest
    update(toy, recording, second, pool)
    fresh = make()
    fresh.load_weights(list(second.items()))
    assert toy.state() == fresh.state()
    return (toy, recording)
