"""Engines that discard their weights: values that no pull writes are restored, and sleeping engines are left alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from checkpoint_engine_worker.errors import CheckpointEngineError
from checkpoint_engine_worker.receiver import Receiver
from checkpoint_engine_worker.weight_memory import WeightMemory
from fake_server import FakeServer
from segment import segment
from test_receiver import UUID, confirmed, update
from test_session import CONTENT, Model

torch: Any = pytest.importorskip("torch")
pytest.importorskip("numpy")

from checkpoint_engine_worker.pull.engine_puller import EnginePuller  # noqa: E402
from checkpoint_engine_worker.tensors.tensor_map import named_tensors, span_bytes  # noqa: E402
from toy_engine import Pool, Toy, Weights, linear, metas_of, random_like  # noqa: E402

FORM: Weights = {
    "embed.weight": torch.zeros(11, 8),
    "left.weight": torch.zeros(6, 8),
    "right.weight": torch.zeros(6, 8),
    "norm.weight": torch.zeros(8, dtype=torch.bfloat16),
}


class Memory(WeightMemory):
    """Memory that the test can discard."""

    def __init__(self, model: Any, *, blocks: Sequence[tuple[int, int]] = ((1, 1 << 62),)) -> None:
        self.model = model
        self.count = 0
        self.sleeping: tuple[str, ...] = ()
        self.blocks = blocks

    def check(self) -> None:
        if "weights" in self.sleeping:
            raise CheckpointEngineError("CE_ENGINE_FAILED", "The engine sleeps", "Wake it")

    def asleep(self) -> tuple[str, ...]:
        return self.sleeping

    def discards(self) -> int:
        return self.count

    def discardable(self) -> Sequence[tuple[int, int]]:
        return self.blocks

    def discard(self) -> None:
        """Overwrites all tensors of the model. The engine itself restores its buffers."""
        self.count += 1
        buffers = {name: buffer.clone() for name, buffer in self.model.named_buffers()}
        for named in named_tensors([("", self.model)]):
            span_bytes(named.tensor).fill_(0xA5)
        for name, buffer in self.model.named_buffers():
            buffer.copy_(buffers[name])


def build(toy: Toy) -> None:
    """A model with padding, a fused and a converted parameter, one that no tensor fills, a buffer, and an attribute."""
    linear(toy, "embed", 16, 8)
    linear(toy, "joined", 12, 8)
    linear(toy, "norm", 8)
    alone = linear(toy, "alone", 4)
    alone.register_buffer("angles", torch.arange(6.0))
    alone.scales = [torch.full((3,), 0.5)]


def load(toy: Toy, name: str, tensor: torch.Tensor) -> None:
    if name == "embed.weight":
        toy.embed.weight.data[:11].copy_(tensor)
        toy.embed.weight.data[11:].fill_(0)
    elif name == "norm.weight":
        toy.norm.weight.data.copy_(tensor)
    else:
        at = 0 if name == "left.weight" else 6
        toy.joined.weight.data[at : at + 6].copy_(tensor)


class Rig:
    """A toy engine, its puller, and its memory."""

    def __init__(self, **options: Any) -> None:
        self.toy = Toy(build, load)
        self.memory = Memory(self.toy, **options)
        # The engine does not process loaded weights.
        self.puller = EnginePuller(
            lambda: replace(self.toy.engine(), process=lambda module: None), lambda: lambda: None, memory=self.memory
        )

    def update(self, seed: int) -> set[str]:
        """Runs one complete update. Returns the tensors that went through the loader."""
        weights = random_like(FORM, seed)
        pool = Pool(weights)
        metas = metas_of(weights)
        if not self.puller.knows("metas"):
            self.puller.learn("metas", metas)
        needs, _ = self.puller.needs()
        rest = [metas[i].name for i in needs.rest.tolist()]
        with segment(pool.memory.raw) as handle:
            self.puller.map(handle.decode(), [(7, handle, len(pool.memory.raw))], pool.places)
            if rest:
                self.puller.watch_load()
                self.toy.load_weights([(name, weights[name].clone()) for name in rest])
            if len(needs.tensor):
                self.puller.pull(None)
                self.puller.refresh()
            self.puller.prove(None, is_last=True)
            self.puller.layouts.unmap()
        return set(rest)

    def state(self) -> dict[str, bytes]:
        """Returns all tensors of the model, including those in attributes."""
        return state_of(self.toy)


def state_of(toy: Toy) -> dict[str, bytes]:
    return {named.path: bytes(span_bytes(named.tensor).numpy()) for named in named_tensors([("", toy)])}


def fresh(seed: int) -> dict[str, bytes]:
    toy = Toy(build, load)
    toy.load_weights(list(random_like(FORM, seed).items()))
    return state_of(toy)


def test_a_pull_after_a_discard_is_complete() -> None:
    rig = Rig()
    assert rig.update(1) == set(FORM)
    assert rig.update(2) == set()
    for seed in (3, 4):
        rig.memory.discard()
        assert rig.state() != fresh(seed)
        assert rig.update(seed) == set()
        assert rig.state() == fresh(seed)
    # Without a discard, no value is restored.
    assert rig.update(5) == set()
    assert rig.state() == fresh(5)


def test_the_next_update_completes_one_that_failed_after_a_discard() -> None:
    rig = Rig()
    rig.update(1)
    rig.memory.discard()
    assert rig.puller.knows("metas")
    # The update fails here, because the engine sleeps again.
    rig.memory.discard()
    assert rig.update(2) == set()
    assert rig.state() == fresh(2)


def test_only_memory_that_can_be_discarded_is_kept() -> None:
    rig = Rig(blocks=())
    rig.update(1)
    embed = rig.toy.embed.weight
    embed.data[11:].fill_(7)
    rig.memory.count += 1
    assert rig.update(2) == set()
    # Nothing was restored.
    assert bool((embed.data[11:] == 7).all())


def test_values_that_are_too_large_to_keep_are_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("checkpoint_engine_worker.pull.unpulled_values.MAX_BYTES", 8)
    rig = Rig()
    rig.update(1)
    rig.memory.discard()
    assert rig.update(2) == set(FORM)
    assert rig.state()["embed.weight"] == fresh(2)["embed.weight"]


def test_representatives_need_no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHECKPOINT_ENGINE_REPRESENTATIVES", "1")
    rig = Rig()
    rig.memory.discard()
    for seed in (1, 2):
        # The weights were discarded before the first access. The loader writes the padding.
        assert rig.update(seed) == {"embed.weight"}
        for name in ("embed.weight", "joined.weight", "norm.weight", "alone.angles"):
            assert rig.state()[name] == fresh(seed)[name]
        rig.memory.discard()


def test_a_discard_makes_the_weights_unknown() -> None:
    memory = Memory(torch.nn.Module())
    receiver = Receiver(torch.device("cpu"), memory=memory)
    with segment(CONTENT) as handle:
        with FakeServer(lambda server: confirmed(server, handle, "unknown")) as server:
            receiver.receive({UUID: server.address}, Model())
        assert receiver.describe()["weightVersion"] == "v2"
        memory.count += 1
        described = receiver.describe()
        assert (described["weights"], described["weightVersion"]) == ("unknown", "unknown")
        assert "checkpoint" not in described
        assert described["error"]["message"].startswith("The engine discarded its weights")
        # It reports no version either, even if the state was not queried in between.
        memory.count += 1
        with FakeServer(lambda server: confirmed(server, handle, "unknown")) as server:
            receiver.receive({UUID: server.address}, Model())
        described = receiver.describe()
        assert (described["weights"], described["weightVersion"]) == ("loaded", "v2")
        assert "error" not in described
    receiver.close()


def test_a_sleeping_engine_is_not_accessed() -> None:
    memory = Memory(torch.nn.Module())
    receiver = Receiver(torch.device("cpu"), memory=memory)
    with segment(CONTENT) as handle:
        with FakeServer(lambda server: update(server, handle)) as server:
            receiver.receive({UUID: server.address}, Model())
        before = receiver.describe()
        memory.sleeping = ("kv_cache", "weights")
        model = Model()
        with pytest.raises(CheckpointEngineError, match="sleeps"):
            receiver.receive({UUID: "no server is asked"}, model)
        assert model.calls == []
        assert receiver.describe() == {**before, "asleep": ["kv_cache", "weights"]}
        # The weights are awake, and the other memory still sleeps.
        memory.sleeping = ("kv_cache",)
        with FakeServer(lambda server: update(server, handle)) as server:
            receiver.receive({UUID: server.address}, Model())
    receiver.close()
