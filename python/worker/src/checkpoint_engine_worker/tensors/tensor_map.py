"""Finds the parameter or buffer of a write by its memory. Imports torch.

Real tensors are found by address, meta tensors by their storage. Tensors that share memory (tied weights, views) have
one *owner*, the tensor that contains the others.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

#: Virtual addresses of meta storages start here, above what a process can map.
_META_BASE = 1 << 60


@dataclass
class Owner:
    """A tensor of the engine that a loader can write to. `address` is virtual if the tensor is a meta tensor."""

    path: str
    module: str
    module_class: str
    tensor: Any
    address: int
    size_bytes: int
    #: Whether it is neither a parameter nor a buffer of its module, but an attribute, or in a list or dict of one.
    held: bool = False
    shared_with: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class NamedTensor:
    path: str
    module: str
    module_class: str
    tensor: Any
    held: bool


def named_tensors(roots: Sequence[tuple[str, Any]], *, held: bool = True) -> Iterator[NamedTensor]:
    """Returns parameters and buffers, and with `held` also tensors in attributes, lists and dicts of modules.

    Caches of requests are left out: no loader writes to them, and they change at any time.
    """
    seen: set[int] = set()
    for root_name, root in roots:
        for name, module in root.named_modules(prefix=root_name):
            if id(module) in seen:
                continue
            seen.add(id(module))
            kind = type(module).__name__
            for attribute, value, is_held in _attributes(module, held):
                for path, tensor in _tensors_in(attribute, value, 0):
                    yield NamedTensor(f"{name}.{path}" if name else path, name, kind, tensor, is_held)


def _attributes(module: Any, held: bool) -> Iterator[tuple[str, Any, bool]]:
    for table in (module._parameters, module._buffers):
        for name, value in table.items():
            yield (name, value, False)
    if held:
        for name, value in vars(module).items():
            if name not in ("_parameters", "_buffers", "_modules") and "kv_cache" not in name:
                yield (name, value, True)


def _tensors_in(path: str, value: Any, depth: int) -> Iterator[tuple[str, Any]]:
    if isinstance(value, torch.Tensor):
        yield (path, value)
    elif depth < 3:
        if isinstance(value, (list, tuple)):
            for i, item in enumerate(value[:4096]):
                yield from _tensors_in(f"{path}.{i}", item, depth + 1)
        elif isinstance(value, dict):
            for key, item in list(value.items())[:4096]:
                if isinstance(key, (str, int)):
                    yield from _tensors_in(f"{path}.{key}", item, depth + 1)


def span_of(tensor: Any) -> int:
    """Returns the number of bytes from a tensor's first element to the end of its last one."""
    if tensor.numel() == 0:
        return 0
    last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return int((last + 1) * tensor.element_size())


def span_bytes(tensor: Any) -> Any:
    """Returns the bytes from a tensor's first element to the end of its last one, as a flat view."""
    count = span_of(tensor) // tensor.element_size()
    return torch.as_strided(tensor.detach(), (count,), (1,), tensor.storage_offset()).view(torch.uint8)


class TensorMap:
    """The current tensors of an engine."""

    def __init__(self, roots: Sequence[tuple[str, Any]]) -> None:
        self._meta: dict[int, int] = {}
        self._meta_end = _META_BASE
        self._keep: list[Any] = []
        self.owners: list[Owner] = []
        self.by_path: dict[str, int] = {}
        found = []
        for named in named_tensors(roots):
            tensor = named.tensor
            address = self._register(tensor)
            size = span_of(tensor) if address is not None else 0
            if address is not None and size:
                found.append(Owner(named.path, named.module, named.module_class, tensor, address, size, named.held))
        found.sort(key=lambda owner: (owner.address, -owner.size_bytes, owner.held))
        end = -1
        for owner in found:
            if self.owners and owner.address + owner.size_bytes <= end and owner.address >= self.owners[-1].address:
                self.owners[-1].shared_with.append(owner.module)
            else:
                self.owners.append(owner)
                end = max(end, owner.address + owner.size_bytes)
            self.by_path[owner.path] = len(self.owners) - 1
        self._starts = [owner.address for owner in self.owners]
        self._live_paths = {owner.path: owner for owner in found}

    def tensor_at(self, path: str) -> Owner | None:
        """Returns the tensor of a path, even if it shares its memory with another one."""
        return self._live_paths.get(path)

    def find(self, tensor: Any) -> tuple[int, int] | None:
        """Returns (owner, byte offset in it) of a view, or None if it is not completely inside a known tensor."""
        address = self._address(tensor)
        if address is None:
            return None
        i = bisect_right(self._starts, address) - 1
        end = address + span_of(tensor)
        while i >= 0:
            owner = self.owners[i]
            if end <= owner.address + owner.size_bytes:
                return (i, address - owner.address)
            if address >= owner.address + owner.size_bytes:
                return None
            i -= 1
        return None

    def touches(self, tensor: Any) -> int | None:
        """Returns the owner that overlaps a view."""
        found = self.find(tensor)
        if found is not None:
            return found[0]
        address = self._address(tensor)
        if address is None:
            return None
        end = address + span_of(tensor)
        i = bisect_right(self._starts, end - 1) - 1
        if i >= 0 and self.owners[i].address + self.owners[i].size_bytes > address:
            return i
        return None

    def _register(self, tensor: Any) -> int | None:
        try:
            if tensor.is_meta:
                storage = tensor.untyped_storage()
                if storage._cdata not in self._meta:
                    self._keep.append(tensor)
                    self._meta[storage._cdata] = self._meta_end
                    self._meta_end += -(-storage.nbytes() // 4096) * 4096 + 4096
            return self._address(tensor)
        except (RuntimeError, NotImplementedError, AttributeError, ValueError):
            return None  # an uninitialized or wrapped tensor without memory of its own

    def _address(self, tensor: Any) -> int | None:
        if tensor.is_meta:
            base = self._meta.get(tensor.untyped_storage()._cdata)
            return None if base is None else base + tensor.storage_offset() * tensor.element_size()
        address = int(tensor.data_ptr())
        return address or None
