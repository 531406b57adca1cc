"""A snapshot differs if the fingerprint differs, so that nothing is written to a changed engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")

from checkpoint_engine_worker.engine import Engine  # noqa: E402
from checkpoint_engine_worker.recording.fingerprint import fingerprint_of  # noqa: E402
from checkpoint_engine_worker.recording.snapshot import Snapshot  # noqa: E402


class Model(torch.nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.ModuleList([torch.nn.Linear(4, 4) for _ in range(3)])
        self.layers[1].register_buffer("expert_map", torch.arange(8))
        self.layers[2].register_parameter("absent", None)


def engine_of(model: Any, **facts: str) -> Engine:
    return Engine(lambda _: None, [("", model)], torch.device("cpu"), facts)


def swap_parameter(model: Any) -> None:
    model.layers[0].weight = torch.nn.Parameter(model.layers[0].weight.detach().clone())


def move_memory(model: Any) -> None:
    model.layers[0].weight.data = model.layers[0].weight.data.clone()


def transpose_in_place(model: Any) -> None:
    model.layers[0].weight.data = model.layers[0].weight.data.t()


def drop_buffer(model: Any) -> None:
    del model.layers[1].expert_map


def add_parameter(model: Any) -> None:
    model.layers[2].absent = torch.nn.Parameter(torch.zeros(1))


def add_module(model: Any) -> None:
    model.head = torch.nn.Linear(4, 4)


def wrap_module(model: Any) -> None:
    model.layers[0] = torch.nn.Sequential(model.layers[0])


def place_experts_elsewhere(model: Any) -> None:
    model.layers[1].expert_map[3] = 7


CHANGES: list[Callable[[Any], None]] = [
    swap_parameter,
    move_memory,
    transpose_in_place,
    drop_buffer,
    add_parameter,
    add_module,
    wrap_module,
    place_experts_elsewhere,
]


def test_other_values_of_weights_do_not_change_the_engine() -> None:
    model = Model()
    snapshot = Snapshot(engine_of(model, tp="1"))
    with torch.no_grad():
        model.layers[0].weight.fill_(3)
    assert snapshot.is_current(engine_of(model, tp="1"))


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_of_the_fingerprint_changes_the_snapshot(change: Callable[[Any], None]) -> None:
    model = Model()
    snapshot, fingerprint = Snapshot(engine_of(model)), fingerprint_of(engine_of(model), "metas")
    assert snapshot.is_current(engine_of(model))
    change(model)
    assert fingerprint_of(engine_of(model), "metas") != fingerprint
    assert not snapshot.is_current(engine_of(model))


def test_other_facts_and_other_models_are_another_engine() -> None:
    model = Model()
    snapshot = Snapshot(engine_of(model, tp="1"))
    assert not snapshot.is_current(engine_of(model, tp="2"))
    assert not snapshot.is_current(engine_of(Model(), tp="1"))
