"""Checks quickly whether an engine has changed since it was last fingerprinted. Imports torch.

A fingerprint would take milliseconds in every update. It is unchanged if the modules, their parameters and buffers are
the same objects in the same memory, and small integer buffers have the same values.
"""

from __future__ import annotations

from typing import Any

from checkpoint_engine_worker.engine import Engine
from checkpoint_engine_worker.recording.fingerprint import small_values

#: A table of parameters or buffers, a name in it, and the tensor of that name, with its address and its form.
_Entry = tuple[dict[str, Any], str, Any, int, tuple[Any, ...]]


class Snapshot:
    """The modules and tensors of an engine at one time."""

    def __init__(self, engine: Engine) -> None:
        self._device = engine.device
        self._facts = dict(engine.facts)
        self._roots = list(engine.roots)
        #: For each module: its table of children, and their identities in order.
        self._children: list[tuple[dict[str, Any], tuple[tuple[str, Any], ...]]] = []
        self._sizes: list[tuple[dict[str, Any], int]] = []
        self._entries: list[_Entry] = []
        for module in {module for _, root in self._roots for module in root.modules()}:
            self._children.append((module._modules, tuple(module._modules.items())))
            for table in (module._parameters, module._buffers):
                self._sizes.append((table, len(table)))
                self._entries += [
                    (table, name, tensor, _address(tensor), _form(tensor)) for name, tensor in table.items()
                ]
        values = small_values([entry[2] for entry in self._entries if entry[2] is not None])
        self._small = [entry[2] for entry in self._entries if id(entry[2]) in values]
        self._values = values

    def is_current(self, engine: Engine) -> bool:
        """Whether the engine has not changed."""
        if self._device != engine.device or self._facts != engine.facts or self._roots != list(engine.roots):
            return False
        if any(tuple(children.items()) != items for children, items in self._children):
            return False
        if any(len(table) != size for table, size in self._sizes):
            return False
        for table, name, tensor, address, form in self._entries:
            if table.get(name) is not tensor or _address(tensor) != address or _form(tensor) != form:
                return False
        return small_values(self._small) == self._values


def _address(tensor: Any) -> int:
    try:
        return int(tensor.data_ptr())
    except (AttributeError, RuntimeError, NotImplementedError, ValueError):
        return 0  # no tensor, a meta tensor, or one without memory of its own


def _form(tensor: Any) -> tuple[Any, ...]:
    try:
        return (tensor.shape, tensor.stride(), tensor.dtype)
    except (AttributeError, RuntimeError, NotImplementedError, ValueError):
        return (type(tensor),)  # no tensor, or an uninitialized one
