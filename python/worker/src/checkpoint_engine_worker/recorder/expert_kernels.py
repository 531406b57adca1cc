"""Kernels of experts, which vLLM creates each time it processes their weights. Imports torch.

A kernel refers to the scales of its module. A kernel that is created in a layerwise reload refers to the scales of the
reload, which keep the values of that load: the reload copies them into the module's own tensors and drops the module's
reference, but not the kernel's. A pull into the module's tensors does not reach such a kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

#: The fields of vLLM's quantization methods for the kernel and for its scales.
_KERNEL, _SCALES = "moe_kernel", "moe_quant_config"
_MAX_DEPTH = 6


def kernels_of(model: Any) -> list[tuple[Any, str, Any]]:
    """Returns (quantization method, field, value) of each kernel that uses the model's own tensors as scales."""
    live = _live_storages(model)
    found = []
    for module in model.modules():
        method = getattr(module, "quant_method", None)
        own = _attributes(method)
        fields = {name: own[name] for name in (_KERNEL, _SCALES) if own.get(name) is not None}
        if fields and all(_storage(tensor) in live for tensor in _scales(fields)):
            found += [(method, name, value) for name, value in fields.items()]
    return found


def keeps_other_tensors(module: Any, known: Callable[[Any], bool]) -> bool:
    """Returns whether the module's kernel has a scale that is not among the engine's tensors (`known`)."""
    scales = _attributes(getattr(module, "quant_method", None)).get(_SCALES)
    return any(not known(tensor) for tensor in tensors_in(scales))


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """Yields the tensors with more than one element that an object refers to. Does not descend into modules."""
    yield from _tensors_in(value, set(), 0)


def _tensors_in(value: Any, seen: set[int], depth: int) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        if value.numel() > 1 and not value.is_meta:
            yield value
        return
    if depth > _MAX_DEPTH or id(value) in seen or isinstance(value, (torch.nn.Module, type, str, bytes)):
        return
    seen.add(id(value))
    if isinstance(value, dict):
        items = list(value.values())
    elif isinstance(value, (list, tuple)):
        items = list(value)
    else:
        items = list(_attributes(value).values())
    for item in items[:4096]:
        yield from _tensors_in(item, seen, depth + 1)


def _scales(fields: dict[str, Any]) -> Iterator[torch.Tensor]:
    """Yields the scales of a kernel, but not its work space, which holds no values between calls."""
    return tensors_in(fields.get(_SCALES, fields.get(_KERNEL)))


def _attributes(value: Any) -> dict[str, Any]:
    """Returns the attributes of an object; none if it has no dictionary."""
    fields: dict[str, Any] = getattr(value, "__dict__", {})
    return fields


def _live_storages(model: Any) -> set[int]:
    tensors = [*model.parameters(), *model.buffers()]
    return {_storage(tensor) for tensor in tensors if not tensor.is_meta}


def _storage(tensor: Any) -> int:
    return int(tensor.untyped_storage().data_ptr())
