"""Kernels of experts after a layerwise reload: they compute with the module's own scales."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")

from checkpoint_engine_worker.recorder.expert_kernels import keeps_other_tensors, kernels_of  # noqa: E402


class Experts(torch.nn.Module):  # type: ignore[misc]
    """Like vLLM's FP8 experts: the kernel refers to the scales of its module through two objects."""

    def __init__(self, *, derives: bool = False) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(4, 4), requires_grad=False)
        self.scale = torch.nn.Parameter(torch.ones(4), requires_grad=False)
        self.derives = derives
        self.quant_method = SimpleNamespace(moe_kernel=None, moe_quant_config=None)
        self.make_kernel()

    def make_kernel(self) -> None:
        scale = self.scale.data * 2 if self.derives else self.scale
        config = SimpleNamespace(_w1=SimpleNamespace(scale=scale), _a1=SimpleNamespace(scale=None))
        self.quant_method.moe_quant_config = config
        space = torch.empty(16)
        self.quant_method.moe_kernel = SimpleNamespace(experts=SimpleNamespace(config=config, space=[space]))

    def computed(self) -> Any:
        return self.weight * self.quant_method.moe_kernel.experts.config._w1.scale

    def reload(self, scale: float) -> None:
        """Loads and processes other tensors and copies them into the module's own, like a layerwise reload."""
        own = self.scale
        self.scale = torch.nn.Parameter(torch.full((4,), scale), requires_grad=False)
        self.make_kernel()
        own.data.copy_(self.scale)
        self.scale = own


def known(model: Any) -> Any:
    own = {tensor.untyped_storage().data_ptr() for tensor in model.parameters()}
    return lambda tensor: tensor.untyped_storage().data_ptr() in own


def test_a_kernel_of_a_reload_misses_later_pulls() -> None:
    model = Experts()
    assert not keeps_other_tensors(model, known(model))
    model.reload(2.0)
    model.scale.data.fill_(3.0)
    assert model.computed()[0, 0] == 2
    assert keeps_other_tensors(model, known(model))


def test_a_restored_kernel_computes_with_pulled_values() -> None:
    model = torch.nn.Sequential(Experts())
    before = kernels_of(model)
    assert [name for _, name, _ in before] == ["moe_kernel", "moe_quant_config"]
    model[0].reload(2.0)
    for method, name, value in before:
        setattr(method, name, value)
    assert model[0].computed()[0, 0] == 2
    model[0].scale.data.fill_(3.0)
    assert model[0].computed()[0, 0] == 3
    assert not keeps_other_tensors(model[0], known(model))


def test_a_kernel_with_derived_scales_is_created_again_and_its_module_is_not_pulled() -> None:
    model = torch.nn.Sequential(Experts(derives=True))
    assert kernels_of(model) == []
    assert keeps_other_tensors(model[0], known(model))


def test_other_modules_have_no_kernels() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2))
    assert kernels_of(model) == []
    assert not keeps_other_tensors(model[0], known(model))
