"""A digest of everything that a recording depends on. A proof holds only while it stays the same. Imports torch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import torch

from checkpoint_engine_worker.engine import Engine
from checkpoint_engine_worker.pull_types import TensorMeta
from checkpoint_engine_worker.recording.layers import split_layer
from checkpoint_engine_worker.tensors.tensor_map import named_tensors
from checkpoint_engine_worker.tensors.torch_dtypes import as_bytes
from checkpoint_engine_worker.version import __version__

#: Integer buffers up to this size describe placement (expert maps), so the fingerprint includes their values.
_MAX_VALUES = 1 << 16


def metas_digest(tensors: Iterable[TensorMeta]) -> str:
    """Returns a digest of names, types and shapes in order."""
    digest = hashlib.sha256()
    for meta in tensors:
        digest.update(f"{meta.name}\0{meta.dtype}\0{meta.shape}\n".encode())
    return digest.hexdigest()


def fingerprint_of(engine: Engine, metas: str) -> str:
    """Returns the fingerprint of the current engine with a list of tensors, given by its digest."""
    return _digest(engine, metas, _address)


def recording_key(engine: Engine, metas: str) -> str:
    """Returns a fingerprint without addresses, which is the same in another process of the same engine.

    It includes which tensors share memory, because they are one tensor for the recorder.
    """
    numbers: dict[int, int] = {}

    def place(tensor: Any) -> str:
        storage = _storage(tensor)
        if storage is None:
            return ""
        return f"{numbers.setdefault(storage, len(numbers))}+{tensor.storage_offset()}"

    return _digest(engine, metas, place)


def _digest(engine: Engine, metas: str, place: Callable[[Any], object]) -> str:
    digest = hashlib.sha256()
    for fact in (__version__, torch.__version__, str(engine.device), metas):
        digest.update(f"{fact}\n".encode())
    for key in sorted(engine.facts):
        digest.update(f"{key}={engine.facts[key]}\n".encode())
    tensors = list(named_tensors(engine.roots, held=False))
    values = small_values([named.tensor for named in tensors])
    for named in tensors:
        form = f"{_form(named.tensor)}\0{place(named.tensor)}"
        digest.update(f"{named.path}\0{named.module}\0{named.module_class}\0{form}\n".encode())
        digest.update(values.get(id(named.tensor), b""))
    return digest.hexdigest()


def layer_forms(roots: Sequence[tuple[str, Any]]) -> dict[int, Hashable]:
    """Returns a description of the engine by layer number: paths, classes, types, shapes, strides, small values."""
    forms: dict[int, list[Hashable]] = {}
    tensors = list(named_tensors(roots, held=False))
    values = small_values([named.tensor for named in tensors])
    for named in tensors:
        split = split_layer(named.path)
        if split is not None:
            (prefix, number), suffix = split
            form = (prefix, suffix, named.module_class, _form(named.tensor), values.get(id(named.tensor)))
            forms.setdefault(number, []).append(form)
    return {number: frozenset(items) for number, items in forms.items()}


def _form(tensor: Any) -> str:
    try:
        return f"{tensor.dtype} {tuple(tensor.shape)} {tuple(tensor.stride())}"
    except (RuntimeError, NotImplementedError, ValueError):
        return type(tensor).__name__  # uninitialized


def _address(tensor: Any) -> int:
    try:
        return 0 if tensor.is_meta else int(tensor.data_ptr())
    except (RuntimeError, NotImplementedError, ValueError):
        return 0


def _storage(tensor: Any) -> int | None:
    try:
        return None if tensor.is_meta else int(tensor.untyped_storage().data_ptr())
    except (RuntimeError, NotImplementedError, ValueError):
        return None


def small_values(tensors: list[Any]) -> dict[int, bytes]:
    """Digests of small integer buffers, by the identity of the tensor."""
    found = {}
    for tensor in tensors:
        if type(tensor) is not torch.Tensor or tensor.is_meta or tensor.is_floating_point():
            continue  # a loader writes parameters: their values do not influence where it writes
        if 0 < tensor.numel() <= _MAX_VALUES and not tensor.is_complex() and not tensor.is_quantized:
            data = as_bytes(tensor).cpu().numpy().tobytes()
            found[id(tensor)] = hashlib.sha256(data).digest()
    return found
