"""Modules that compute with a copy of a parameter of another module, such as a head that is tied to the embedding.

vLLM's layerwise reload processes only the module that the weights are loaded into: on CPUs, a tied head continues with
the packed copy of the old weights. Imports torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from checkpoint_engine_worker.recorder.kept_copies import Known, keeps_copy


def refresh_tied(model: Any) -> int:
    """Creates the copies of tied modules again, from the current weights. Returns the number of modules."""
    modules = list(tied_modules(model))
    for module in modules:
        module.quant_method.process_weights_after_loading(module)
    return len(modules)


def tied_modules(model: Any) -> Iterator[Any]:
    """Returns modules that share all of their parameters with other modules and keep a copy of them."""
    holders = Counter(address for module in model.modules() for address in _addresses(module))
    for module in model.modules():
        addresses = _addresses(module)
        if not addresses or any(holders[address] < 2 for address in addresses):
            continue
        if not callable(getattr(getattr(module, "quant_method", None), "process_weights_after_loading", None)):
            continue
        if keeps_copy(module, _within(addresses)):
            yield module


def _within(addresses: set[int]) -> Known:
    return lambda tensor: _address(tensor) in addresses


def _addresses(module: Any) -> set[int]:
    return {_address(tensor) for tensor in module._parameters.values() if tensor is not None} - {0}


def _address(tensor: Any) -> int:
    try:
        return 0 if tensor.is_meta else int(tensor.untyped_storage().data_ptr())
    except (RuntimeError, NotImplementedError, ValueError):
        return 0  # uninitialized, or without memory of its own
