"""Records what one run of an engine's loader on fake weights would write, and where. Imports torch.

Nothing is written to the engine: a write into a known tensor is recorded and dropped, for any source. Operations that
notes cannot express (arithmetic, reads of values, unknown destinations) make the affected tensors opaque.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from checkpoint_engine_worker.recorder.fake_weights import FakeWeight, Origin, SourceView, joined_parts, slabs_of
from checkpoint_engine_worker.recorder.operations import (
    fakes_in,
    first_reason,
    kind_of,
    on_meta,
    result_of_write,
    tensors_written,
)
from checkpoint_engine_worker.tensors.tensor_map import TensorMap

aten = torch.ops.aten


class ValuesNeededError(RuntimeError):
    """A loader read the value of a weight without values."""


@dataclass(frozen=True)
class CopyNote:
    """One copy of values of a checkpoint tensor into a tensor of the engine. `dtype` is the destination's."""

    source: SourceView
    shape: tuple[int, ...]
    owner: int
    offset_bytes: int
    strides: tuple[int, ...]
    dtype: Any


@dataclass(frozen=True)
class FillNote:
    """One constant written into a tensor of the engine."""

    shape: tuple[int, ...]
    owner: int
    offset_bytes: int
    strides: tuple[int, ...]
    item_bytes: int


class LoaderTrace:
    """The loader's writes. `notes` keeps their order; the reasons explain why tensors or owners are opaque."""

    def __init__(self, tensors: TensorMap, device: Any) -> None:
        self.tensors = tensors
        self.device = torch.device(device)
        self.notes: list[CopyNote | FillNote] = []
        self.tensor_reasons: dict[int, str] = {}
        self.owner_reasons: dict[int, str] = {}
        #: Tensors that reached owners in an opaque way.
        self.links: list[tuple[int, int]] = []
        self.last_tensors: tuple[int, ...] = ()
        #: All fake weights and their tensors.
        self.alive: list[tuple[weakref.ref[Any], tuple[int, ...]]] = []
        self._kinds: dict[Any, str] = {}

    def fake(self, tensor: int, shape: tuple[int, ...], dtype: Any) -> FakeWeight:
        root = torch.empty(shape, dtype=dtype, device="meta")
        return self._make(root, root, Origin((tensor,)), self.device)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Drops writes into known tensors, in this thread and in threads and pools that start work during the run."""
        run, submit = threading.Thread.run, ThreadPoolExecutor.submit
        trace = self

        def watched_run(thread: threading.Thread) -> None:
            with _Watch(trace):
                run(thread)

        def watched_submit(pool: Any, function: Any, /, *args: Any, **kwargs: Any) -> Any:
            def call() -> Any:
                with _Watch(trace):
                    return function(*args, **kwargs)

            return submit(pool, call)

        threading.Thread.run = watched_run  # type: ignore[method-assign, assignment]
        ThreadPoolExecutor.submit = watched_submit  # type: ignore[method-assign]
        try:
            with torch.no_grad(), _Watch(self):
                yield
        finally:
            threading.Thread.run = run  # type: ignore[method-assign]
            ThreadPoolExecutor.submit = submit  # type: ignore[method-assign]

    def handle(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Handles one operation of the loader, with or without fakes among its arguments."""
        kind = self._kinds.get(func)
        if kind is None:
            kind = self._kinds[func] = kind_of(func)
        fakes = fakes_in(args, kwargs)
        if not fakes:
            return self._plain(func, kind, args, kwargs)
        self.last_tensors = fakes[-1].origin.tensors
        first = args[0] if args else None
        if kind in ("copy", "fill") and not isinstance(first, FakeWeight):  # fill_ takes a scalar
            return self._copy(first, fakes[0])
        if kind == "view" and isinstance(first, FakeWeight) and len(fakes) == 1:
            return self._view(func, first, args, kwargs)
        if kind == "same" and isinstance(first, FakeWeight):
            return self._same(func, first, args, kwargs)
        if kind == "cast" and isinstance(first, FakeWeight):
            return self._cast(func, first, args, kwargs)
        if kind == "join" and len(fakes) == len(args[0]):
            return self._join(func, fakes, args, kwargs)
        if kind == "value":
            self._refuse(fakes, "its loader reads the values")
            raise ValuesNeededError(f"{func} needs the values of a weight")
        return self._other(func, kind, fakes, args, kwargs)

    def _plain(self, func: Any, kind: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if kind not in ("copy", "fill", "write"):
            return func(*args, **kwargs)
        for written in tensors_written(func, args, kwargs):
            owner = self.tensors.touches(written)
            if owner is None:
                continue
            place = self.tensors.find(written)
            if kind == "fill" and place is not None:
                shape, strides = tuple(written.shape), tuple(written.stride())
                self.notes.append(FillNote(shape, *place, strides, written.element_size()))
            else:
                self.owner_reasons.setdefault(owner, f"the loader changes it by {func.overloadpacket.__name__}")
            return result_of_write(func, args, kwargs)
        return func(*args, **kwargs)

    def _copy(self, destination: Any, fake: FakeWeight) -> Any:
        shape = tuple(destination.shape)
        place = self.tensors.find(destination)
        if place is None:
            owner = self.tensors.touches(destination)
            self._refuse([fake], "its loader copies it to a tensor that is not part of the model", owner)
            return destination
        slabs = slabs_of(fake, shape) if fake.origin.reason is None else None
        dtype = destination.dtype
        if slabs is None or (fake.origin.cast is not None and fake.origin.cast != dtype):
            reason = fake.origin.reason or "its loader reorders the values"
            self._refuse([fake], reason, place[0])
            return destination
        strides, item = tuple(destination.stride()), destination.element_size()
        for slab in slabs:
            at = sum(i * stride for i, stride in zip(slab.start, strides, strict=True))
            self.notes.append(CopyNote(slab.source, slab.shape, place[0], place[1] + at * item, strides, dtype))
        return destination

    def _view(self, func: Any, fake: FakeWeight, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        origin, rest = fake.origin, args[1:]
        outer = func(fake.outer, *rest, **kwargs)
        if fake.outer is fake.view_of:
            view = outer
        else:
            try:
                if func.overloadpacket in (aten.as_strided, aten._reshape_alias):
                    raise RuntimeError("strides of a copy say nothing about its source")
                view = func(fake.view_of, *rest, **kwargs)
            except RuntimeError:
                origin, view = self._opaque(fake, "its loader reshapes a reordered copy"), outer
        retyped = func.overloadpacket is aten.view and rest and isinstance(rest[0], torch.dtype)
        if retyped and (origin.cast is not None or origin.parts):
            origin, view = self._opaque(fake, "its loader reinterprets converted values"), outer
        if isinstance(outer, (list, tuple)):
            return [self._make(v, o, origin, fake.device) for v, o in zip(view, outer, strict=True)]
        return self._make(view, outer, origin, fake.device)

    def _same(self, func: Any, fake: FakeWeight, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        outer = func(fake.outer, *args[1:], **kwargs)
        if func.overloadpacket is aten._unsafe_view:
            return self._view(func, fake, args, kwargs)
        return self._make(fake.view_of, outer, fake.origin.copied(), fake.device)

    def _cast(self, func: Any, fake: FakeWeight, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        dtype, device = kwargs.get("dtype") or fake.dtype, kwargs.get("device") or fake.device
        outer = torch.empty_strided(fake.outer.shape, fake.outer.stride(), dtype=fake.outer.dtype, device="meta")
        if dtype == fake.dtype:
            return self._make(fake.view_of, outer, fake.origin.copied(), device)
        if fake.origin.cast is not None or not (dtype.is_floating_point and fake.dtype.is_floating_point):
            origin = self._opaque(fake, "its loader converts the values in a way that cannot be repeated")
            outer = outer.to(dtype)
            return self._make(outer, outer, origin, device)
        return self._make(fake.view_of, outer, fake.origin.copied(dtype), device)

    def _join(self, func: Any, fakes: list[FakeWeight], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        dim = args[1] if len(args) > 1 else kwargs.get("dim", 0)
        if func.overloadpacket is aten.stack:
            fakes = [self.handle(aten.unsqueeze.default, (fake, dim), {}) for fake in fakes]
        dim %= max(1, fakes[0].dim())
        outer = aten.cat.default([fake.outer for fake in fakes], dim).contiguous()
        parts = joined_parts(fakes, dim)
        tensors = tuple(dict.fromkeys(tensor for fake in fakes for tensor in fake.origin.tensors))
        if parts is None:
            origin = Origin(tensors, reason=first_reason(fakes) or "its loader joins converted values")
        else:
            origin = Origin(tensors, parts=parts, dim=dim, shape=tuple(outer.shape))
        return self._make(outer, outer, origin, fakes[0].device)

    def _other(
        self, func: Any, kind: str, fakes: list[FakeWeight], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Handles all other operations: the result has no known source, and its destination becomes opaque."""
        reason = f"its loader computes with it ({func.overloadpacket.__name__})"
        tensors = tuple(dict.fromkeys(tensor for fake in fakes for tensor in fake.origin.tensors))
        if kind in ("copy", "fill", "write"):
            for written in tensors_written(func, args, kwargs):
                if isinstance(written, FakeWeight):
                    written.origin.reason = reason
                    self._refuse([*fakes, written], reason)
                else:
                    self._refuse(fakes, reason, self.tensors.touches(written))
            return result_of_write(func, args, kwargs)
        try:
            result = func(*on_meta(args), **on_meta(kwargs))
        except Exception as error:
            self._refuse(fakes, reason)
            raise ValuesNeededError(f"{func} needs the values of a weight") from error
        origin = Origin(tensors, reason=first_reason(fakes) or reason)

        def wrap(value: Any) -> Any:
            if isinstance(value, torch.Tensor):
                return self._make(value, value, origin, fakes[0].device)
            return type(value)(map(wrap, value)) if isinstance(value, (list, tuple)) else value

        return wrap(result)

    def _opaque(self, fake: FakeWeight, reason: str) -> Origin:
        return Origin(fake.origin.tensors, reason=fake.origin.reason or reason)

    def _refuse(self, fakes: list[FakeWeight], reason: str, owner: int | None = None) -> None:
        for fake in fakes:
            for tensor in fake.origin.tensors:
                self.tensor_reasons.setdefault(tensor, reason)
                if owner is not None:
                    self.owner_reasons.setdefault(owner, reason)
                    self.links.append((tensor, owner))

    def _make(self, view: Any, outer: Any, origin: Origin, device: Any) -> FakeWeight:
        fake = FakeWeight.make(view, outer, origin, device, self)
        self.alive.append((weakref.ref(fake), origin.tensors))
        return fake


class _Watch(TorchDispatchMode):  # type: ignore[misc]
    """Sends every operation of one thread to a trace."""

    def __init__(self, trace: LoaderTrace) -> None:
        super().__init__()
        self._trace = trace

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self._trace.handle(func, args, kwargs or {})
