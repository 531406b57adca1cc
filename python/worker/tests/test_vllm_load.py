"""Loaders of draft models that expect all of their tensors in one call."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from checkpoint_engine_worker.vllm.load import LoadedNames, load_weights

torch: Any = pytest.importorskip("torch")

Loader = Callable[[Iterable[tuple[str, Any]]], Any]


class Model(torch.nn.Module):  # type: ignore[misc]
    def __init__(self, load: Loader) -> None:
        super().__init__()
        self.load_weights = load


def given(*names: str) -> list[tuple[str, Any]]:
    return [(name, torch.zeros(1)) for name in names]


def incomplete(message: str, error: type[Exception] = ValueError, *, takes: int = 99) -> tuple[Model, list[str]]:
    """A loader that takes this many tensors and then fails."""
    taken: list[str] = []

    def load(weights: Iterable[tuple[str, Any]]) -> None:
        for name, _ in weights:
            if len(taken) == takes:
                break
            taken.append(name)
        raise error(message)

    return Model(load), taken


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("MTP speculative decoding layer 61 weights missing from checkpoint. It may have been quantized.", ValueError),
        ("Some parameters like x are not in the checkpoint and will falsely use random values", RuntimeError),
    ],
)
def test_a_part_of_a_checkpoint_is_not_a_failure(message: str, error: type[Exception]) -> None:
    model, taken = incomplete(message, error)
    assert load_weights(model, given("a", "b")) is None
    assert taken == ["a", "b"]


@pytest.mark.parametrize(
    ("message", "error", "takes"),
    [
        # The loader has not taken all tensors, so missing tensors are not the only failure.
        ("weights missing from checkpoint", ValueError, 1),
        ("shape of a differs", ValueError, 99),
        ("weights missing from checkpoint", KeyError, 99),
    ],
)
def test_other_failures_are_raised(message: str, error: type[Exception], takes: int) -> None:
    model, _ = incomplete(message, error, takes=takes)
    with pytest.raises(error, match=message):
        load_weights(model, given("a", "b"))


def test_returns_the_loaded_names() -> None:
    assert load_weights(Model(lambda weights: {name for name, _ in weights}), given("a", "b")) == {"a", "b"}
    assert load_weights(Model(lambda weights: None), given("a")) is None


def test_detects_a_draft_model_without_its_own_tensors() -> None:
    target, draft = torch.nn.Module(), torch.nn.Module()
    target.embed = draft.embed = torch.nn.Linear(2, 2, bias=False)
    draft.layer = torch.nn.Linear(2, 2, bias=False)

    def without(*calls: set[str] | None) -> bool:
        names = LoadedNames()
        for call in calls:
            names.add(call)
        return names.is_without(target, draft)

    assert without()
    assert without({"embed.weight"}, set())
    assert not without({"embed.weight"}, {"layer.weight"})
    # A loader that returns no names may have loaded the draft model.
    assert not without({"embed.weight"}, None)
    # A draft model that shares all parameters needs no tensors.
    assert not LoadedNames().is_without(draft, draft)
