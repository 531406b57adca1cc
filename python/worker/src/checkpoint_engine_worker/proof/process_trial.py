"""Runs an engine's processing after loading on scratch memory of one module, and reports changes. Imports torch.

The module gets scratch memory of the same form in place of its parameters and buffers, which is filled and processed as
after a load. Then its tensors, its attributes and those of its helpers are restored.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from checkpoint_engine_worker.recorder.module_state import ModuleState
from checkpoint_engine_worker.tensors.tensor_map import named_tensors, span_bytes, span_of
from checkpoint_engine_worker.tensors.torch_dtypes import as_bytes

#: Returns the bytes for one of a module's tensors, from its name and a tensor of the same form.
Fill = Callable[[str, Any], Any]

#: The reason of a module whose tensors the processing changes.
CHANGES = "the engine changes its values after they are loaded"
DERIVES = "the engine derives other values from its weights"


def change_of(
    module: Any,
    path: str,
    process: Callable[[Any], object],
    written: Collection[str],
    device: Any,
    fills: Sequence[Fill],
) -> str | None:
    """Returns why the tensors of a module must not be pulled, or None if the engine's processing does not change them.

    Args:
        module: The module. Only its own tensors are checked, not those of its submodules.
        path: Its path in the engine.
        process: The engine's processing of one module.
        written: The names of the tensors that the loader writes.
        device: Where they are.
        fills: Each returns the bytes of a tensor by its name and form. Two of them reveal derived values.
    """
    others: list[dict[str, bytes]] = []
    # The last filling runs twice: values that differ then depend on something else.
    for fill in (*fills, fills[-1]) if len(fills) > 1 else fills:
        change, found = _processed(module, path, process, written, device, fill)
        if change is not None or not found:
            return change
        others.append(found)
    if len(others) < 3:
        return None
    first, second, again = others
    if first.keys() != second.keys():
        return DERIVES
    is_derived = any(second[name] == again.get(name) and second[name] != first[name] for name in second)
    return DERIVES if is_derived else None


def _processed(
    module: Any,
    path: str,
    process: Callable[[Any], object],
    written: Collection[str],
    device: Any,
    fill: Fill,
) -> tuple[str | None, dict[str, bytes]]:
    """Returns (the reason against a pull, the bytes of the tensors that the loader does not write)."""
    with _restored(module, path):
        filled: dict[str, Any] = {}
        for table in (module._parameters, module._buffers):
            for name, tensor in list(table.items()):
                if tensor is None:
                    continue
                scratch = _like(tensor, device)
                if name in written:
                    filled[name] = fill(name, scratch)
                    span_bytes(scratch).copy_(filled[name])
                elif not tensor.is_meta:
                    scratch.data.copy_(tensor.data)
                else:
                    span_bytes(scratch).zero_()
                table[name] = scratch
        process(module)
        for name, wanted in filled.items():
            tensor = module._parameters.get(name, module._buffers.get(name))
            if tensor is None or span_of(tensor) != wanted.numel() or not torch.equal(span_bytes(tensor), wanted):
                return CHANGES, {}
        return None, _others(module, filled)


def _others(module: Any, filled: Collection[str]) -> dict[str, bytes]:
    """Returns the state of the module and its helpers, except for the loaded tensors."""
    own = [named for named in named_tensors([("", module)]) if named.module == ""]
    own_storages = {_storage(named.tensor) for named in own}
    found = {named.path: named.tensor for named in own if named.path not in filled}
    for number, helper in enumerate(_helpers(module)):
        for name, value in vars(helper).items():
            if isinstance(value, torch.Tensor) and _storage(value) not in own_storages:
                found[f"{number} {name}"] = value
    return {name: bytes(as_bytes(tensor).cpu().numpy()) for name, tensor in found.items() if not tensor.is_meta}


def _storage(tensor: Any) -> int:
    return 0 if tensor.is_meta else int(tensor.untyped_storage().data_ptr())


def _like(tensor: Any, device: Any) -> Any:
    """Returns memory of the same form, with the class and the attributes of the tensor."""
    scratch = torch.empty_strided(tuple(tensor.shape), tuple(tensor.stride()), dtype=tensor.dtype, device=device)
    scratch.__class__ = tensor.__class__
    scratch.__dict__ = dict(tensor.__dict__)
    return scratch


@contextmanager
def _restored(module: Any, path: str) -> Iterator[None]:
    state = ModuleState(path, module)
    helpers = [(helper, dict(vars(helper))) for helper in _helpers(module)]
    try:
        yield
    finally:
        for helper, fields in helpers:
            now = vars(helper)
            for name in [name for name in now if name not in fields]:
                del now[name]
            now.update({name: value for name, value in fields.items() if now.get(name, now) is not value})
        state.restore()


def _helpers(module: Any) -> Iterator[Any]:
    """Returns objects that belong to a module, such as its quantization method, and their own objects."""
    seen: set[int] = set()
    waiting = [(value, 0) for name, value in vars(module).items() if not name.startswith("_")]
    while waiting:
        value, depth = waiting.pop()
        plain = (torch.nn.Module, torch.Tensor, type, types.ModuleType, types.FunctionType, types.MethodType)
        is_known = id(value) in seen or "Config" in type(value).__name__
        if depth > 2 or is_known or isinstance(value, plain) or not hasattr(value, "__dict__"):
            continue
        seen.add(id(value))
        yield value
        waiting += [(item, depth + 1) for item in vars(value).values()]
