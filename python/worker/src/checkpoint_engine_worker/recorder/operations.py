"""Classifies operations of a loader, and finds the tensors that they read and write. Imports torch."""

from __future__ import annotations

from typing import Any

import torch

from checkpoint_engine_worker.recorder.fake_weights import FakeWeight

aten = torch.ops.aten

_SAME_VALUES = {aten.clone, aten.contiguous, aten.lift_fresh_copy, aten._unsafe_view, aten._lazy_clone}


def kind_of(func: Any) -> str:
    packet = func.overloadpacket
    if packet is aten.copy_:
        return "copy"
    if packet in (aten.fill_, aten.zero_):
        return "fill"
    if packet is aten._to_copy:
        return "cast"
    if packet in (aten.cat, aten.stack):
        return "join"
    if packet in (aten._local_scalar_dense, aten.item, aten.equal, aten.is_nonzero):
        return "value"
    if packet in _SAME_VALUES:
        return "same"
    schema = func._schema
    if any(arg.alias_info is not None and arg.alias_info.is_write for arg in schema.arguments):
        return "write"
    if schema.returns and all(value.alias_info is not None for value in schema.returns):
        return "view"
    return "other"


def fakes_in(args: Any, kwargs: Any) -> list[FakeWeight]:
    found = []
    for arg in (*args, *kwargs.values()) if kwargs else args:
        if isinstance(arg, FakeWeight):
            found.append(arg)
        elif isinstance(arg, (list, tuple)):
            found += [item for item in arg if isinstance(item, FakeWeight)]
    return found


def tensors_written(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    """Returns the tensors that an operation writes to."""
    written: list[Any] = []
    for i, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = args[i] if i < len(args) else kwargs.get(argument.name)
            written += value if isinstance(value, (list, tuple)) else [value]
    return [value for value in written if isinstance(value, torch.Tensor)]


def result_of_write(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    written = tensors_written(func, args, kwargs)
    count = len(func._schema.returns)
    if count == 0:
        return None
    return written[0] if count == 1 else tuple(written[:count])


def on_meta(value: Any) -> Any:
    """Returns the same arguments with meta tensors in place of tensors."""
    if isinstance(value, FakeWeight):
        return torch.empty_strided(value.outer.shape, value.outer.stride(), dtype=value.dtype, device="meta")
    if isinstance(value, torch.Tensor):
        return value if value.is_meta else torch.empty_like(value, device="meta")
    if isinstance(value, dict):
        return {key: torch.device("meta") if key == "device" else on_meta(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(on_meta(item) for item in value)
    return value


def first_reason(fakes: list[FakeWeight]) -> str | None:
    return next((fake.origin.reason for fake in fakes if fake.origin.reason), None)
