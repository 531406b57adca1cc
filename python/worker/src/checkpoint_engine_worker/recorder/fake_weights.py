"""Tensors without bytes that represent tensors of a checkpoint while an engine's loader runs. Imports torch.

A fake reports the device, type and shape of the real tensor, and has a view of a *meta* tensor, with one root per
checkpoint tensor. Views run on that meta tensor, so its storage offset and strides always identify the bytes of the
checkpoint tensor that the fake represents. Only the dispatcher is hooked, so loaders that use threads work unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch


@dataclass(frozen=True)
class Part:
    """A part of concatenated values: `start` and `size` along the dimension, and the view that they come from."""

    start: int
    size: int
    view: Any
    tensor: int


class Origin:
    """The source of a fake's values. Views of a fake share it; a copy, a cast or a concatenation has its own."""

    __slots__ = ("cast", "dim", "parts", "reason", "shape", "tensors")

    def __init__(
        self,
        tensors: tuple[int, ...],
        *,
        cast: Any = None,
        reason: str | None = None,
        parts: tuple[Part, ...] = (),
        dim: int = 0,
        shape: tuple[int, ...] = (),
    ) -> None:
        self.tensors = tensors
        self.cast = cast
        self.reason = reason
        self.parts = parts
        self.dim = dim
        self.shape = shape

    def copied(self, cast: Any = None) -> Origin:
        return Origin(
            self.tensors, cast=cast or self.cast, reason=self.reason, parts=self.parts, dim=self.dim, shape=self.shape
        )


class Handler(Protocol):
    """Decides the result of an operation on fakes."""

    def handle(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any: ...


class FakeWeight(torch.Tensor):  # type: ignore[misc]
    """A tensor without bytes. `view` is a meta tensor that identifies its bytes of the checkpoint tensor.

    `outer` has the strides that the loader sees; it differs from `view` after a copy such as `contiguous()`.
    """

    view_of: Any
    outer: Any
    origin: Origin
    handler: Handler

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def make(view: Any, outer: Any, origin: Origin, device: Any, handler: Handler) -> FakeWeight:
        fake: FakeWeight = torch.Tensor._make_wrapper_subclass(
            FakeWeight,
            outer.shape,
            strides=outer.stride(),
            storage_offset=outer.storage_offset(),
            dtype=origin.cast or view.dtype,
            device=device,
            requires_grad=False,
        )
        fake.view_of = view
        fake.outer = outer
        fake.origin = origin
        fake.handler = handler
        return fake

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for arg in (*args, *(kwargs or {}).values()):
            for item in arg if isinstance(arg, (list, tuple)) else (arg,):
                if isinstance(item, FakeWeight):
                    return item.handler.handle(func, args, kwargs or {})
        raise AssertionError(f"{func} got no fake weight")

    def __repr__(self, **_: Any) -> str:
        return f"FakeWeight(shape={tuple(self.shape)}, dtype={self.dtype}, tensors={self.origin.tensors})"


@dataclass(frozen=True)
class SourceView:
    """A strided view of one checkpoint tensor: offset and strides count elements of `dtype`."""

    tensor: int
    dtype: Any
    offset: int
    strides: tuple[int, ...]


@dataclass(frozen=True)
class Slab:
    """A part of a copy with one source: its start and shape in the copied view."""

    start: tuple[int, ...]
    shape: tuple[int, ...]
    source: SourceView


def slabs_of(fake: FakeWeight, shape: tuple[int, ...]) -> list[Slab] | None:
    """Returns the sources of `fake` broadcast to `shape`, or None if they are not strided views of tensors.

    Raises the RuntimeError of a real copy if the shapes do not fit.
    """
    view = fake.view_of if tuple(fake.view_of.shape) == shape else fake.view_of.expand(shape)
    origin = fake.origin
    zero = (0,) * len(shape)
    if not origin.parts:
        return [
            Slab(zero, shape, SourceView(origin.tensors[0], view.dtype, view.storage_offset(), tuple(view.stride())))
        ]
    return _slabs_of_parts(view, origin, shape)


def _slabs_of_parts(view: Any, origin: Origin, shape: tuple[int, ...]) -> list[Slab] | None:
    """Like `slabs_of`, for a view of concatenated values: each dimension of it walks along one of theirs."""
    if any(size == 0 for size in shape):
        return []
    if view.dtype != origin.parts[0].view.dtype:
        return None
    strides = _contiguous_strides(origin.shape)
    start = _unravel(view.storage_offset(), strides)
    walks: list[tuple[int, int]] = []
    for size, stride in zip(shape, view.stride(), strict=True):
        walk = _walk(size, stride, start, origin.shape, strides)
        if walk is None:
            return None
        walks.append(walk)
    along = [i for i, (dim, step) in enumerate(walks) if dim == origin.dim and step > 0 and shape[i] > 1]
    moved = [dim for (dim, step), size in zip(walks, shape, strict=True) if step and size > 1]
    if len(moved) != len(set(moved)):
        return None
    slabs = []
    for part in origin.parts:
        first, size = start[origin.dim], 1
        slab_start, slab_shape = [0] * len(shape), list(shape)
        if along:
            i = along[0]
            step = walks[i][1]
            low = max(0, -(-(part.start - first) // step))
            high = min(shape[i], -(-(part.start + part.size - first) // step))
            if low >= high:
                continue
            slab_start[i], slab_shape[i] = low, high - low
            first, size = first + low * step, high - low
        if not (part.start <= first and first < part.start + part.size and size > 0):
            continue
        offset = part.view.storage_offset()
        for dim, index in enumerate(start):
            at = first - part.start if dim == origin.dim else index
            offset += at * part.view.stride(dim)
        source_strides = tuple(part.view.stride(dim) * step if step else 0 for dim, step in walks)
        source = SourceView(part.tensor, part.view.dtype, offset, source_strides)
        slabs.append(Slab(tuple(slab_start), tuple(slab_shape), source))
    return slabs


def _walk(
    size: int, stride: int, start: list[int], shape: tuple[int, ...], strides: list[int]
) -> tuple[int, int] | None:
    """Returns (dimension, step) of a walk of `size` elements at `stride`, if it stays in one dimension."""
    if size == 1 or stride == 0:
        return (0, 0)
    for dim, unit in enumerate(strides):
        if shape[dim] > 1 and stride % unit == 0:
            step = stride // unit
            if start[dim] + (size - 1) * step < shape[dim]:
                return (dim, step)
    return None


def _contiguous_strides(shape: tuple[int, ...]) -> list[int]:
    strides = [1] * len(shape)
    for i in range(len(shape) - 2, -1, -1):
        strides[i] = strides[i + 1] * max(1, shape[i + 1])
    return strides


def _unravel(offset: int, strides: list[int]) -> list[int]:
    index = []
    for stride in strides:
        index.append(offset // stride)
        offset %= stride
    return index


def joined_parts(fakes: list[FakeWeight], dim: int) -> tuple[Part, ...] | None:
    """Returns the parts of a concatenation along `dim`, or None if one of them is not a plain view of one tensor."""
    parts, at = [], 0
    for fake in fakes:
        origin = fake.origin
        if origin.reason or origin.parts or origin.cast or len(origin.tensors) != 1:
            return None
        if fake.view_of.dtype != fakes[0].view_of.dtype or fake.view_of.dim() != fakes[0].view_of.dim():
            return None
        size = fake.view_of.shape[dim]
        parts.append(Part(at, size, fake.view_of, origin.tensors[0]))
        at += size
    return tuple(parts)
