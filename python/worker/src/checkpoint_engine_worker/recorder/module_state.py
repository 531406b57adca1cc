"""Saves the state of a module and restores it after a loader ran on tensors without bytes. Does not import torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

#: Containers with more entries, or deeper ones, are not searched.
_MAX_ENTRIES, _MAX_DEPTH = 4096, 3


class ModuleState:
    """Parameters, buffers and attributes of one module, and the entries of its lists and dicts."""

    def __init__(self, path: str, module: Any) -> None:
        self._path = path
        self._module = module
        self._tables = [(table, dict(table)) for table in (module._parameters, module._buffers)]
        self._data = [
            (tensor, tensor.data, _memory(tensor))
            for _, saved in self._tables
            for tensor in saved.values()
            if tensor is not None
        ]
        self._attributes = dict(vars(module))
        self._containers = list(_containers(self._attributes))

    def restore(self) -> list[str]:
        """Restores everything. Returns the paths of parameters and buffers that had been replaced."""
        replaced = set()
        for tensor, data, memory in self._data:
            if _memory(tensor) != memory:
                tensor.data = data
                replaced.add(id(tensor))
        paths = []
        for table, saved in self._tables:
            for name, tensor in saved.items():
                if table.get(name) is not tensor or id(tensor) in replaced:
                    table[name] = tensor
                    paths.append(f"{self._path}.{name}" if self._path else name)
            for name in [name for name in table if name not in saved]:
                del table[name]
        for container, entries in self._containers:
            _refill(container, entries)
        attributes = vars(self._module)
        for name in [name for name in attributes if name not in self._attributes]:
            del attributes[name]
        attributes.update(self._attributes)
        return paths


def _memory(tensor: Any) -> tuple[Any, ...]:
    """Returns a value that changes if a tensor gets other memory."""
    try:
        address = tensor.untyped_storage()._cdata if tensor.is_meta else tensor.data_ptr()
        return (type(tensor.data), tensor.is_meta, address, tuple(tensor.shape), tensor.dtype)
    except (RuntimeError, NotImplementedError, ValueError):
        return (type(tensor),)  # uninitialized


def _containers(attributes: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    for name, value in attributes.items():
        if name not in ("_parameters", "_buffers", "_modules"):
            yield from _nested(value, 0)


def _nested(value: Any, depth: int) -> Iterator[tuple[Any, Any]]:
    if depth < _MAX_DEPTH and type(value) in (list, dict) and len(value) <= _MAX_ENTRIES:
        yield (value, value.copy())
        for item in value.values() if isinstance(value, dict) else value:
            yield from _nested(item, depth + 1)


def _refill(container: Any, entries: Any) -> None:
    if isinstance(container, list):
        if len(container) != len(entries) or any(a is not b for a, b in zip(container, entries, strict=True)):
            container[:] = entries
    elif container.keys() != entries.keys() or any(container[key] is not entries[key] for key in entries):
        container.clear()
        container.update(entries)
