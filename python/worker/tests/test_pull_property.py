"""Pulled parameters equal loaded ones, for any loader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from checkpoint_engine_worker.recorder.record import record
from toy_engine import Pool, Toy, Weights, metas_of, random_like, recorded_and_proved, update

Step = tuple[str, Callable[[Any], Any]]


def call(name: str, *args: Any) -> Callable[[Any], Any]:
    return lambda tensor: getattr(tensor, name)(*args)


def first(step: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda tensor: step(tensor)[0]


@st.composite
def steps(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[list[Step], tuple[int, ...]]:
    """A chain of operations on a tensor of this shape, and the resulting shape."""
    chain: list[Step] = []
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(
            st.sampled_from(
                ["narrow", "chunk", "split", "select", "transpose", "unsqueeze", "reshape", "contiguous", "slice"]
            )
        )
        if kind == "unsqueeze" and len(shape) < 4:
            dim = draw(st.integers(0, len(shape)))
            chain.append((kind, call("unsqueeze", dim)))
            shape = (*shape[:dim], 1, *shape[dim:])
        elif kind == "contiguous":
            chain.append((kind, call("contiguous")))
        elif kind == "reshape" and len(shape) >= 2:
            dim = draw(st.integers(0, len(shape) - 2))
            to = (*shape[:dim], shape[dim] * shape[dim + 1], *shape[dim + 2 :])
            chain.append((kind, call("reshape", to)))
            shape = to
        elif kind == "transpose" and len(shape) >= 2:
            a, b = draw(st.integers(0, len(shape) - 1)), draw(st.integers(0, len(shape) - 1))
            chain.append((kind, call("transpose", a, b)))
            order = list(shape)
            order[a], order[b] = order[b], order[a]
            shape = tuple(order)
        elif kind in ("narrow", "chunk", "split", "slice") and shape:
            dim = draw(st.integers(0, len(shape) - 1))
            size = draw(st.integers(1, shape[dim]))
            start = draw(st.integers(0, shape[dim] - size))
            if kind == "narrow":
                chain.append((kind, call("narrow", dim, start, size)))
            elif kind == "slice" and dim == 0:
                chain.append((kind, call("__getitem__", slice(start, start + size))))
            elif kind == "split":
                start, size = 0, size
                chain.append((kind, first(call("split", size, dim))))
            elif kind == "chunk" and shape[dim] % 2 == 0:
                start, size = 0, shape[dim] // 2
                chain.append((kind, first(call("chunk", 2, dim))))
            else:
                continue
            shape = (*shape[:dim], size, *shape[dim + 1 :])
        elif kind == "select" and len(shape) >= 2:
            dim = draw(st.integers(0, len(shape) - 1))
            index = draw(st.integers(0, shape[dim] - 1))
            chain.append((kind, call("select", dim, index)))
            shape = (*shape[:dim], *shape[dim + 1 :])
    return (chain, shape)


@dataclass
class Rule:
    """The operations of a loader on one tensor, or on two that belong together."""

    chain: list[Step]
    shape: tuple[int, ...]
    pads: tuple[int, ...]
    write: str
    dtype: torch.dtype
    fill: bool

    def apply(self, parameter: torch.Tensor, tensor: torch.Tensor) -> None:
        for _, step in self.chain:
            tensor = step(tensor)
        target = parameter.data
        if self.fill:
            target.fill_(0.5)
        for dim, (size, pad) in enumerate(zip(self.shape, self.pads, strict=True)):
            target = target.narrow(dim, pad, size)
        if self.write == "setitem":
            target[...] = tensor
        elif self.write == "to":
            target.copy_(tensor.to(target.dtype))
        elif self.write == "compute":
            target.copy_(tensor * 2)
        elif self.write == "swapped" and self.shape[0] % 2 == 0:
            # Like gate and up projections in the order of some kernels.
            half = self.shape[0] // 2
            for source, start in zip(tensor.chunk(2, 0), (half, 0), strict=True):
                target.narrow(0, start, half).copy_(source)
        elif self.write == "each":
            # Like the experts of a fused tensor.
            for i, source in enumerate(tensor.unbind()):
                target[self.shape[0] - 1 - i] = source
        elif self.write == "repeated":
            # Like key and value heads that several ranks share.
            target.copy_(tensor[:1].expand(self.shape))
        elif self.write == "transposed":
            target.transpose(0, -1).copy_(tensor.transpose(0, -1))
        else:
            target.copy_(tensor)


@st.composite
def rules(draw: st.DrawFn) -> tuple[tuple[int, ...], torch.dtype, Rule]:
    shape = tuple(draw(st.lists(st.integers(1, 6), min_size=1, max_size=3)))
    chain, out = draw(steps(shape))
    pads = tuple(draw(st.integers(0, 2)) for _ in out)
    writes = ["copy", "copy", "copy", "setitem", "to", "compute"]
    if out:
        writes += ["transposed", "swapped", "each", "repeated"]
    dtype = draw(st.sampled_from([torch.float32, torch.bfloat16]))
    kept = dtype if draw(st.integers(0, 4)) else torch.float32
    return (shape, dtype, Rule(chain, out, pads, draw(st.sampled_from(writes)), kept, draw(st.booleans())))


@st.composite
def joins(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], int, bool, tuple[int, int]]:
    """Two shapes that are concatenated along a dimension, and the slice of it that is kept."""
    shape = draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
    dim = draw(st.integers(0, len(shape) - 1))
    stacked = draw(st.booleans())
    other = list(shape)
    if not stacked:
        other[dim] = draw(st.integers(1, 5))
    total = 2 if stacked else shape[dim] + other[dim]
    size = draw(st.integers(1, total))
    return (tuple(shape), tuple(other), dim, stacked, (draw(st.integers(0, total - size)), size))


Case = tuple[list[tuple[tuple[int, ...], torch.dtype, Rule]], list[Any], int]
CASES = st.tuples(st.lists(rules(), min_size=1, max_size=4), st.lists(joins(), max_size=2), st.integers(1, 6))


def build(case: Case) -> tuple[Callable[[], Toy], Weights]:
    """An engine of some equal layers with these rules, and the form of its checkpoint."""
    rule_list, join_list, layers = case
    weights: Weights = {}
    for layer in range(layers):
        for i, (shape, dtype, _) in enumerate(rule_list):
            weights[f"layers.{layer}.part{i}.weight"] = torch.zeros(shape, dtype=dtype)
        for i, (a, b, *_) in enumerate(join_list):
            weights[f"layers.{layer}.join{i}.a"] = torch.zeros(a)
            weights[f"layers.{layer}.join{i}.b"] = torch.zeros(b)

    def fill(toy: Toy) -> None:
        toy.layers = torch.nn.ModuleList()
        for _ in range(layers):
            module = torch.nn.Module()
            for i, (_, _, rule) in enumerate(rule_list):
                shape = tuple(size + pad + 1 for size, pad in zip(rule.shape, rule.pads, strict=True))
                child = torch.nn.Module()
                child.weight = torch.nn.Parameter(torch.randn(shape).to(rule.dtype), requires_grad=False)
                module.add_module(f"part{i}", child)
            for i, (a, _, dim, stacked, (_, size)) in enumerate(join_list):
                joined = list(a)
                if stacked:
                    joined.insert(dim, size)
                else:
                    joined[dim] = size
                child = torch.nn.Module()
                child.weight = torch.nn.Parameter(torch.randn(joined), requires_grad=False)
                module.add_module(f"join{i}", child)
            toy.layers.append(module)
        toy.pending = {}

    def load(toy: Toy, name: str, tensor: torch.Tensor) -> None:
        _, layer, part, kind = name.split(".")
        child = getattr(toy.layers[int(layer)], part)
        if part.startswith("part"):
            rule_list[int(part[4:])][2].apply(child.weight, tensor)
            return
        toy.pending[(layer, part, kind)] = tensor
        if (layer, part, "a") in toy.pending and (layer, part, "b") in toy.pending:
            _, _, dim, stacked, (start, size) = join_list[int(part[4:])]
            pair = [toy.pending.pop((layer, part, k)) for k in "ab"]
            joined = torch.stack(pair, dim) if stacked else torch.cat(pair, dim)
            child.weight.data.copy_(joined.narrow(dim, start, size))

    return (lambda: Toy(fill, load), weights)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=CASES, cuts=st.lists(st.integers(1, 40), max_size=3), stamped=st.booleans())
def test_pulled_parameters_equal_loaded_ones(case: Case, cuts: list[int], stamped: bool) -> None:
    make, form = build(case)
    old, new = random_like(form, 1), random_like(form, 2)
    toy = make()
    toy.load_weights(list(old.items()))
    before = toy.state()
    pool = Pool(old)
    recording = recorded_and_proved(toy, old, pool, stamped=stamped)
    assert toy.state() == before, "recording or proving wrote to the engine"
    assert not toy.pending
    pulled = update(toy, recording, new, pool, cuts)
    fresh = make()
    fresh.load_weights(list(new.items()))
    assert toy.state() == fresh.state()
    needs = recording.needs()
    assert pulled >= 0
    assert not set(needs.tensor.tolist()) & set(needs.rest.tolist())
    for tensor, offset, rows, row_bytes, pitch in zip(
        needs.tensor, needs.offset, needs.rows, needs.row_bytes, needs.pitch, strict=True
    ):
        assert offset >= 0
        assert offset + (rows - 1) * pitch + row_bytes <= recording.tensors[tensor].size_bytes
    # The engine loads tensors that take part in computations, and never plain copies.
    kinds = {f"part{i}": rule.write for i, (_, _, rule) in enumerate(case[0])}
    for tensor in needs.rest.tolist():
        part = recording.tensors[tensor].name.split(".")[2]
        chain = case[0][int(part[4:])][2].chain if part in kinds else []
        reordered = any(kind in ("reshape", "contiguous") for kind, _ in chain)
        assert kinds.get(part) != "copy" or reordered
    for tensor in set(needs.tensor.tolist()):
        assert kinds.get(recording.tensors[tensor].name.split(".")[2]) != "compute"


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=CASES)
def test_stamped_layers_equal_separately_recorded_ones(case: Case) -> None:
    make, form = build(case)
    toy = make()
    stamped, single = (record(toy.engine(), metas_of(form), stamped=value) for value in (True, False))

    def key(recording: Any) -> Any:
        boxes = sorted(tuple(row[:2] + row[3:]) for row in recording.boxes.tolist())
        return (boxes, recording.tensor_reasons, sorted(map(repr, recording.casts)))

    assert key(stamped) == key(single)
