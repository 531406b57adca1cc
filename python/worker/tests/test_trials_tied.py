"""A head that is tied to the embedding and computes with a packed copy of it gets a new copy."""

from __future__ import annotations

from typing import Any

import torch

from checkpoint_engine_worker.vllm.tied import refresh_tied, tied_modules
from toy_engine import parameter


class Packing:
    """Packs like vLLM on CPUs: into a function in an attribute."""

    def process_weights_after_loading(self, module: Any) -> None:
        packed = module.weight.data.clone()
        module.linear = lambda x: x @ packed.T


class Plain:
    """Computes with the parameter itself."""

    def process_weights_after_loading(self, module: Any) -> None:
        module.linear = lambda x: x @ module.weight.T


def model(method: Any, *, is_tied: bool) -> Any:
    made = torch.nn.Module()
    made.embed, made.head = torch.nn.Module(), torch.nn.Module()
    made.embed.weight = parameter(6, 4)
    made.head.weight = made.embed.weight if is_tied else parameter(6, 4)
    made.head.quant_method = method
    method.process_weights_after_loading(made.head)
    return made


def test_a_tied_head_is_packed_again() -> None:
    tied = model(Packing(), is_tied=True)
    with torch.no_grad():
        tied.embed.weight.mul_(2)
    x = torch.ones(1, 4)
    assert not torch.equal(tied.head.linear(x), x @ tied.embed.weight.T)
    assert refresh_tied(tied) == 1
    assert torch.equal(tied.head.linear(x), x @ tied.embed.weight.T)


def test_other_modules_do_not_change() -> None:
    assert list(tied_modules(model(Packing(), is_tied=False))) == []
    assert list(tied_modules(model(Plain(), is_tied=True))) == []
