"""What a recorder has to notice, one rule after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
import torch

from checkpoint_engine_worker.derived import changed_modules, unwritten_digests
from checkpoint_engine_worker.errors import CheckpointEngineError
from checkpoint_engine_worker.fingerprint import fingerprint_of, metas_digest
from checkpoint_engine_worker.proof import prove
from checkpoint_engine_worker.pull_table import PullTable
from checkpoint_engine_worker.record import record
from toy_engine import Pool, Toy, Weights, metas_of, random_like, recorded_and_proved, update


def parameter(*shape: int, dtype: torch.dtype = torch.float32) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.randn(shape).to(dtype), requires_grad=False)


def linear(toy: torch.nn.Module, name: str, *shape: int, dtype: torch.dtype = torch.float32) -> Any:
    """A child module with one parameter `weight`."""
    child = torch.nn.Module()
    child.weight = parameter(*shape, dtype=dtype)
    toy.add_module(name, child)
    return child


def check(
    build: Callable[[Toy], None],
    load: Callable[[Toy, str, torch.Tensor], None],
    form: Weights,
    *,
    rest: set[str],
    whole: Callable[[Toy, list[tuple[str, torch.Tensor]]], None] | None = None,
) -> tuple[Toy, Any]:
    """Records, proves, updates, compares with a fresh engine, and checks which tensors were left to the loader."""

    def make() -> Toy:
        toy = Toy(build, load)
        if whole is not None:
            toy.load_weights = lambda weights: whole(toy, weights)  # type: ignore[method-assign]
        return toy

    first, second = random_like(form, 1), random_like(form, 2)
    toy = make()
    toy.load_weights(list(first.items()))
    before = toy.state()
    pool = Pool(first)
    recording = recorded_and_proved(toy, first, pool)
    assert toy.state() == before
    assert {recording.tensors[i].name for i in recording.rest().tolist()} == rest
    update(toy, recording, second, pool)
    fresh = make()
    fresh.load_weights(list(second.items()))
    assert toy.state() == fresh.state()
    return (toy, recording)


def test_constants_are_noted_and_not_written() -> None:
    def load(toy: Toy, name: str, tensor: torch.Tensor) -> None:
        toy.embed.weight.data.zero_()
        toy.embed.weight.data[:9].copy_(tensor)
        toy.embed.weight.data[9:].fill_(1)

    check(lambda toy: linear(toy, "embed", 12, 4), load, {"embed.weight": torch.zeros(9, 4)}, rest=set())


def test_a_constant_over_a_copy_leaves_the_tensor_to_the_loader() -> None:
    def load(toy: Toy, name: str, tensor: torch.Tensor) -> None:
        toy.a.weight.data.copy_(tensor)
        toy.a.weight.data[2:].fill_(1)

    check(lambda toy: linear(toy, "a", 6, 4), load, {"a.weight": torch.zeros(6, 4)}, rest={"a.weight"})


def test_tied_parameters_have_one_owner_and_the_last_name_wins() -> None:
    def build(toy: Toy) -> None:
        linear(toy, "embed", 5, 4)
        toy.head = torch.nn.Module()
        toy.head.weight = toy.embed.weight

    def load(toy: Toy, name: str, tensor: torch.Tensor) -> None:
        getattr(toy, name.split(".")[0]).weight.data.copy_(tensor)

    form = {"embed.weight": torch.zeros(5, 4), "head.weight": torch.zeros(5, 4)}
    _, recording = check(build, load, form, rest=set())
    assert set(recording.needs().tensor.tolist()) == {1}


def test_destinations_in_lists_dicts_and_views_of_one_buffer_are_found() -> None:
    def build(toy: Toy) -> None:
        toy.register_buffer("flat", torch.zeros(40))
        toy.views = [toy.flat[:16].view(4, 4), toy.flat[16:]]
        toy.more = {"scale": torch.zeros(3)}

    def load(toy: Toy, name: str, tensor: torch.Tensor) -> None:
        {"a": toy.views[0], "b": toy.views[1], "c": toy.more["scale"]}[name].copy_(tensor)

    form = {"a": torch.zeros(4, 4), "b": torch.zeros(24), "c": torch.zeros(3)}
    toy, recording = check(build, load, form, rest=set())
    assert recording.needs().size_bytes == (16 + 24 + 3) * 4
    fresh = random_like(form, 2)["c"]
    assert torch.equal(toy.more["scale"], fresh)


def test_a_loader_that_keeps_a_tensor_is_opaque_and_keeps_nothing_without_bytes() -> None:
    def build(toy: Toy) -> None:
        linear(toy, "a", 4, 4)
        linear(toy, "b", 4, 4)
        toy.pending = {}

    def load(toy: Toy, name: str, tensor: torch.Tensor) -> None:
        if name == "a.kept":
            toy.pending[name] = (tensor, 1)
        elif name == "a.weight":
            toy.a.weight.data.copy_(tensor)
        else:
            toy.b.weight.data.copy_(tensor)

    form = {"a.weight": torch.zeros(4, 4), "a.kept": torch.zeros(2), "b.weight": torch.zeros(4, 4)}
    toy = Toy(build, load)
    recording = record(toy.engine(), metas_of(form))
    assert toy.pending == {}
    assert recording.tensor_reasons[1] == "its loader keeps it beyond the call"
    pool = Pool(form)
    toy.load_weights(list(form.items()))
    result = prove(recording, pool.places, pool.regions, "cpu")
    result.accept(recording, fingerprint_of(toy.engine(), metas_digest(metas_of(form))))
    assert set(recording.rest().tolist()) == {0, 1}


@pytest.mark.parametrize("transform", ["in place", "from itself", "through scratch", "index"])
def test_what_is_computed_after_loading_is_opaque(transform: str) -> None:
    def load(toy: Toy, name: str, tensor: torch.Tensor) -> None:
        weight = toy.a.weight if name == "a.weight" else toy.b.weight
        if name != "a.weight":
            weight.data.copy_(tensor)
        elif transform == "in place":
            weight.data.copy_(tensor)
            weight.data.mul_(2)
        elif transform == "from itself":
            weight.data.copy_(tensor)
            weight.data.copy_(weight.data * 3)
        elif transform == "index":
            weight.data.index_copy_(0, torch.tensor([3, 2, 1, 0]), tensor)
        else:
            scratch = torch.empty(4, 4)
            scratch.copy_(tensor)
            weight.data.copy_(scratch)

    def build(toy: Toy) -> None:
        linear(toy, "a", 4, 4)
        linear(toy, "b", 4, 4)

    check(build, load, {"a.weight": torch.zeros(4, 4), "b.weight": torch.zeros(4, 4)}, rest={"a.weight"})


def test_a_scalar_is_broadcast_from_its_bytes() -> None:
    def load(toy: Toy, name: str, tensor: torch.Tensor) -> None:
        toy.a.weight.data[1:4] = tensor
        toy.a.weight.data[0] = tensor.reshape(())

    _, recording = check(lambda toy: linear(toy, "a", 4, 3), load, {"a.scale": torch.zeros(1)}, rest=set())
    assert recording.needs().size_bytes == 4


def test_a_loader_that_reads_values_is_opaque_for_all_names_of_the_pattern() -> None:
    def build(toy: Toy) -> None:
        for i in range(3):
            linear(toy, f"a{i}", 4, 3)
            getattr(toy, f"a{i}").scale = parameter(1)
            linear(toy, f"b{i}", 4, 3)

    def load(toy: Toy, name: str, tensor: torch.Tensor) -> None:
        module, kind = name.split(".")
        if kind == "scale":
            getattr(toy, module).scale.data.fill_(tensor.item())
        else:
            getattr(toy, module).weight.data.copy_(tensor)

    form: Weights = {}
    for i in range(3):
        form[f"a{i}.weight"] = torch.zeros(4, 3)
        form[f"a{i}.scale"] = torch.zeros(1)
        form[f"b{i}.weight"] = torch.zeros(4, 3)
    rest = {name for name in form if name.startswith("a")}
    check(build, load, form, rest=rest)


@pytest.mark.parametrize("error", [KeyError("unknown"), RuntimeError("no storage"), "numpy"])
def test_names_on_which_the_loader_fails_are_opaque_and_the_others_are_not(error: Exception | str) -> None:
    def build(toy: Toy) -> None:
        linear(toy, "a", 4, 4)
        linear(toy, "b", 4, 4)
        toy.calm = False

    def load(toy: Toy, name: str, tensor: torch.Tensor) -> None:
        if name == "a.odd":
            if error == "numpy":
                toy.a.weight.data.copy_(torch.from_numpy(tensor.numpy()))
            elif type(tensor) is not torch.Tensor:
                assert isinstance(error, Exception)
                raise error
            else:
                toy.a.weight.data.copy_(tensor)
        else:
            toy.b.weight.data.copy_(tensor)

    check(build, load, {"a.odd": torch.zeros(4, 4), "b.weight": torch.zeros(4, 4)}, rest={"a.odd"})


@pytest.mark.parametrize("kind", ["threads", "pool"])
def test_loaders_that_use_threads(kind: str) -> None:
    def build(toy: Toy) -> None:
        for i in range(8):
            linear(toy, f"m{i}", 6, 4)

    def one(toy: Toy, name: str, tensor: torch.Tensor) -> None:
        weight = getattr(toy, name.split(".")[0]).weight
        weight.data.fill_(0)
        weight.data[:5].copy_(tensor)

    def whole(toy: Toy, weights: list[tuple[str, torch.Tensor]]) -> None:
        if kind == "pool":
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(lambda item: one(toy, *item), weights))
            return
        threads = [threading.Thread(target=one, args=(toy, *item)) for item in weights]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    form = {f"m{i}.weight": torch.zeros(5, 4) for i in range(8)}
    check(build, one, form, rest=set(), whole=whole)


def test_a_replaced_parameter_is_put_back_and_opaque() -> None:
    def build(toy: Toy) -> None:
        linear(toy, "a", 4, 4)
        linear(toy, "b", 4, 4)

    def load(toy: Toy, name: str, tensor: torch.Tensor) -> None:
        if name == "a.weight":
            toy.a.weight = torch.nn.Parameter(torch.zeros(4, 4), requires_grad=False)
            toy.a.weight.data.copy_(tensor)
        else:
            toy.b.weight.data.copy_(tensor)

    form = {"a.weight": torch.zeros(4, 4), "b.weight": torch.zeros(4, 4)}
    toy = Toy(build, load)
    kept = toy.a.weight
    recording = record(toy.engine(), metas_of(form))
    assert toy.a.weight is kept
    assert 0 in recording.tensor_reasons
    assert 1 not in recording.tensor_reasons


def test_a_reshape_of_a_reordered_copy_is_opaque() -> None:
    def load(toy: Toy, name: str, tensor: torch.Tensor) -> None:
        toy.a.weight.data.copy_(tensor.t().reshape(-1))

    _, recording = check(lambda toy: linear(toy, "a", 12), load, {"a.weight": torch.zeros(3, 4)}, rest={"a.weight"})
    assert recording.tensor_reasons == {0: "its loader reshapes a reordered copy"}


def test_overlapping_copies_are_opaque_and_repeated_ones_are_not() -> None:
    def build(toy: Toy) -> None:
        linear(toy, "a", 6, 4)
        linear(toy, "b", 6, 4)

    def load(toy: Toy, name: str, tensor: torch.Tensor) -> None:
        if name == "a.first":
            toy.a.weight.data[:4].copy_(tensor)
        elif name == "a.second":
            toy.a.weight.data[2:].copy_(tensor)
        else:
            toy.b.weight.data[:4].copy_(tensor)
            toy.b.weight.data[:4].copy_(tensor)

    form = {"a.first": torch.zeros(4, 4), "a.second": torch.zeros(4, 4), "b.weight": torch.zeros(4, 4)}
    check(build, load, form, rest={"a.first", "a.second"})


def test_names_that_the_engine_does_not_know_are_not_needed() -> None:
    def load(toy: Toy, name: str, tensor: torch.Tensor) -> None:
        if name == "a.weight":
            toy.a.weight.data.copy_(tensor)

    form = {"a.weight": torch.zeros(4, 4), "mtp.weight": torch.zeros(100, 4)}
    _, recording = check(lambda toy: linear(toy, "a", 4, 4), load, form, rest=set())
    assert recording.needs().size_bytes == 64


def test_casts_are_converted_as_torch_does() -> None:
    def build(toy: Toy) -> None:
        linear(toy, "a", 6, 4)
        linear(toy, "b", 6, 4, dtype=torch.bfloat16)

    def load(toy: Toy, name: str, tensor: torch.Tensor) -> None:
        weight = getattr(toy, name.split(".")[0]).weight
        weight.data[:3].copy_(tensor[1:4])
        weight.data[3:].copy_(tensor[1:4].to(weight.dtype))

    form = {"a.weight": torch.zeros(5, 4, dtype=torch.bfloat16), "b.weight": torch.zeros(5, 4)}
    check(build, load, form, rest=set())


def test_what_the_engine_changes_after_loading_is_staged_with_its_whole_module() -> None:
    def build(toy: Toy) -> None:
        linear(toy, "a", 4, 4)
        toy.a.scale = parameter(4)
        linear(toy, "b", 4, 4)

    def load(toy: Toy, name: str, tensor: torch.Tensor) -> None:
        module, kind = name.split(".")
        getattr(getattr(toy, module), kind).data.copy_(tensor)

    form = {"a.weight": torch.zeros(4, 4), "a.scale": torch.zeros(4), "b.weight": torch.zeros(4, 4)}
    first = random_like(form, 1)
    toy = Toy(build, load)
    toy.load_weights(list(first.items()))
    toy.a.weight.data.mul_(2)  # what an engine does after loading
    pool = Pool(first)
    recording = recorded_and_proved(toy, first, pool)
    assert set(recording.rest().tolist()) == {0, 1}
    summary = recording.summary()
    assert (summary.direct, summary.staged, summary.opaque) == (1, 1, 0)
    assert "1 of 2 modules direct, 1 staged" in str(summary)
    before = toy.state()
    pool.fill(random_like(form, 2))
    assert PullTable(recording, pool.places, pool.regions, "cpu").execute() == 64
    after = toy.state()
    assert after["a.weight"] == before["a.weight"]
    assert after["a.scale"] == before["a.scale"]
    assert after["b.weight"] != before["b.weight"]


def test_nothing_is_pulled_without_a_proof_or_after_the_engine_changed() -> None:
    def load(toy: Toy, name: str, tensor: torch.Tensor) -> None:
        toy.a.weight.data.copy_(tensor)

    form = {"a.weight": torch.zeros(4, 4)}
    toy = Toy(lambda toy: linear(toy, "a", 4, 4), load)
    toy.load_weights(list(form.items()))
    pool = Pool(form)
    recording = record(toy.engine(), metas_of(form))
    assert recording.rest().tolist() == [0]
    assert recording.needs().size_bytes == 0
    with pytest.raises(CheckpointEngineError, match="not proved"):
        PullTable(recording, pool.places, pool.regions, "cpu")
    result = prove(recording, pool.places, pool.regions, "cpu")
    digest = metas_digest(metas_of(form))
    result.accept(recording, fingerprint_of(toy.engine(), digest))
    assert recording.rest().tolist() == []
    assert fingerprint_of(toy.engine(experts="2"), digest) != recording.fingerprint
    toy.a.weight = parameter(4, 4)
    with pytest.raises(CheckpointEngineError, match="changed since"):
        result.accept(recording, fingerprint_of(toy.engine(), digest))
    assert not recording.proved
    assert recording.rest().tolist() == [0]


def test_bytes_that_are_missing_for_the_proof_or_the_pull() -> None:
    def build(toy: Toy) -> None:
        linear(toy, "a", 4, 4)
        linear(toy, "b", 4, 4)

    def load(toy: Toy, name: str, tensor: torch.Tensor) -> None:
        getattr(toy, name.split(".")[0]).weight.data.copy_(tensor)

    form = {"a.weight": torch.zeros(4, 4), "b.weight": torch.zeros(4, 4)}
    toy = Toy(build, load)
    toy.load_weights(list(form.items()))
    pool = Pool(form)
    recording = record(toy.engine(), metas_of(form))
    first = pool.cut([1 << 20])[0]
    result = prove(recording, first, pool.regions, "cpu")
    result.accept(recording, recording.fingerprint)
    assert recording.rest().tolist() == [1]
    prove(recording, pool.places, pool.regions, "cpu").accept(recording, recording.fingerprint)
    with pytest.raises(CheckpointEngineError, match="64 of the 128 bytes"):
        PullTable(recording, first, pool.regions, "cpu")
    beyond = pool.places
    beyond.offset[1] += 1 << 20
    with pytest.raises(CheckpointEngineError, match="of region 7, which has"):
        PullTable(recording, beyond, pool.regions, "cpu")


def test_a_tensor_in_an_attribute_that_was_replaced_voids_the_proof() -> None:
    def build(toy: Toy) -> None:
        toy.table = {"scale": torch.zeros(3)}

    def load(toy: Toy, name: str, tensor: torch.Tensor) -> None:
        toy.table["scale"].copy_(tensor)

    form = {"scale": torch.zeros(3)}
    toy = Toy(build, load)
    toy.load_weights(list(form.items()))
    recording = recorded_and_proved(toy, form, Pool(form))
    assert recording.rest().tolist() == []
    kept = toy.table["scale"]
    toy.table["scale"] = torch.zeros(3)
    with pytest.raises(CheckpointEngineError, match="changed since"):
        recording.check(recording.fingerprint)
    assert kept is not None
    assert not recording.proved


def test_layers_with_derived_values_are_left_to_the_engine() -> None:
    def build(toy: Toy) -> None:
        toy.layers = torch.nn.ModuleList()
        for _ in range(2):
            layer = torch.nn.Module()
            linear(layer, "a", 4, 4)
            linear(layer, "b", 4, 4)
            toy.layers.append(layer)
        toy.layers[1].cache = torch.nn.Module()
        toy.layers[1].cache.register_buffer("squares", torch.zeros(4, 4))
        toy.layers[1].cache.register_buffer("constant", torch.ones(4))
        toy.held = torch.zeros(2)

    def load(toy: Toy, name: str, tensor: torch.Tensor) -> None:
        _, layer, part, _ = name.split(".")
        getattr(toy.layers[int(layer)], part).weight.data.copy_(tensor)

    form = {f"layers.{i}.{part}.weight": torch.zeros(4, 4) for i in range(2) for part in "ab"}
    toy = Toy(build, load)
    metas, pool = metas_of(form), Pool(form)
    recording = record(toy.engine(), metas)
    before = unwritten_digests(toy.engine(), recording)
    assert set(before) == {"layers.1.cache.squares", "layers.1.cache.constant", "held"}
    assert changed_modules(before, unwritten_digests(toy.engine(), recording)) == set()
    weights = random_like(form, 4)
    pool.fill(weights)
    toy.load_weights(list(weights.items()))
    toy.layers[1].cache.squares.copy_(toy.layers[1].a.weight ** 2)
    derived = changed_modules(before, unwritten_digests(toy.engine(), recording))
    assert derived == {"layers.1.cache"}
    assert unwritten_digests(toy.engine(), recording, lambda module: hasattr(module, "squares")).keys() == {"held"}
    result = prove(recording, pool.places, pool.regions, "cpu", derived=derived)
    result.accept(recording, recording.fingerprint)
    assert {metas[i].name for i in recording.rest().tolist()} == {"layers.1.a.weight", "layers.1.b.weight"}
    assert "derives values of layers.1.cache" in str(recording.summary())


@pytest.mark.parametrize("way", ["parameter", "data", "attribute", "list", "dict"])
def test_tensors_that_a_loader_puts_in_place_of_others_are_opaque_and_taken_out(way: str) -> None:
    def build(toy: Toy) -> None:
        linear(toy, "a", 4, 4)
        linear(toy, "b", 4, 4)
        toy.a.scale = torch.ones(4, 4)
        toy.a.scales = [torch.ones(4, 4), torch.ones(2)]
        toy.a.more = {"x": {"y": torch.ones(4, 4)}}

    def load(toy: Toy, name: str, tensor: torch.Tensor) -> None:
        if name == "b.weight":
            toy.b.weight.data.copy_(tensor)
        elif way == "parameter":
            toy.a.weight = torch.nn.Parameter(tensor, requires_grad=False)
        elif way == "data":
            toy.a.weight.data = tensor
        elif way == "attribute":
            toy.a.scale = tensor
        elif way == "list":
            toy.a.scales[0] = tensor
        else:
            toy.a.more["x"]["y"] = tensor

    form = {"a.odd": torch.zeros(4, 4), "b.weight": torch.zeros(4, 4)}
    toy = Toy(build, load)
    before, weight, address = toy.state(), toy.a.weight, toy.a.weight.data_ptr()
    recording = record(toy.engine(), metas_of(form))
    assert set(recording.tensor_reasons) == {0}
    assert toy.a.weight is weight
    assert toy.a.weight.data_ptr() == address
    assert toy.state() == before
    for held in (toy.a.scale, *toy.a.scales, toy.a.more["x"]["y"]):
        assert type(held) is torch.Tensor
        assert held.eq(1).all()


def test_an_engine_of_which_nothing_can_be_pulled() -> None:
    def load(toy: Toy, name: str, tensor: torch.Tensor) -> None:
        toy.a.weight.data.copy_(tensor * 2)

    _, recording = check(lambda toy: linear(toy, "a", 4, 4), load, {"a.weight": torch.zeros(4, 4)}, rest={"a.weight"})
    assert recording.needs().size_bytes == 0
    assert recording.rest_groups() == [[0]]


class _Handle:
    """As a library's packed weight: released when it goes."""

    def __del__(self) -> None:
        pass


@pytest.mark.parametrize("way", ["closure", "partial", "handle", "default", "alias", "bound"])
def test_modules_that_compute_with_a_copy_of_their_weights_are_staged(way: str) -> None:
    def load(toy: Toy, name: str, tensor: torch.Tensor) -> None:
        getattr(toy, name.split(".")[0]).weight.data.copy_(tensor)

    def build(toy: Toy) -> None:
        a = linear(toy, "a", 4, 4)
        linear(toy, "b", 4, 4)
        packed, handle, alias = a.weight.detach().clone(), _Handle(), a.weight.detach()
        a.compute = {
            "closure": lambda x: x @ packed,
            "partial": partial(torch.matmul, packed),
            "handle": lambda x: (handle, x),
            "default": lambda x, w=[packed]: x @ w[0],
            "alias": lambda x: x @ alias,
            "bound": toy.load_weights,
        }[way]

    form = {"a.weight": torch.zeros(4, 4), "b.weight": torch.zeros(4, 4)}
    staged = way not in ("alias", "bound")
    _, recording = check(build, load, form, rest={"a.weight"} if staged else set())
    assert ("computes with a copy" in str(recording.summary())) == staged


def layered(toy: Toy, count: int = 7) -> None:
    toy.layers = torch.nn.ModuleList()
    for number in range(count):
        layer = torch.nn.Module()
        linear(layer, "experts", 4, 3, 2)
        layer.experts.register_buffer("expert_map", torch.tensor([0, 1, -1, 2, 3, -1]))
        layer.odd = False
        if number == 2:
            layer.experts.expert_map.copy_(torch.tensor([-1, 3, 2, -1, 1, 0]))
        toy.layers.append(layer)


LAYERED: Weights = {f"layers.{i}.experts.{e}.up.weight": torch.zeros(6, 2) for i in range(7) for e in range(6)}


def load_expert(toy: Toy, name: str, tensor: torch.Tensor) -> None:
    _, layer, _, expert, *_ = name.split(".")
    module = toy.layers[int(layer)]
    place = int(module.experts.expert_map[int(expert)])
    if place >= 0:
        module.experts.weight.data[3 - place if module.odd else place].copy_(tensor[3:])


def test_layers_whose_maps_of_experts_differ_are_recorded_by_themselves() -> None:
    _, recording = check(layered, load_expert, LAYERED, rest=set())
    assert recording.needs().size_bytes == 7 * 4 * 3 * 2 * 4
    needed = {recording.tensors[i].name for i in recording.needs().tensor.tolist()}
    assert "layers.2.experts.1.up.weight" in needed
    assert "layers.2.experts.0.up.weight" not in needed
    assert "layers.3.experts.2.up.weight" not in needed


def test_a_layer_that_only_looks_like_the_others_is_found_by_the_proof() -> None:
    # Layers 0, 4 and 6 stand for all but layer 2.
    def build(toy: Toy) -> None:
        layered(toy)
        toy.layers[5].odd = True

    rest = {name for name in LAYERED if name.startswith("layers.5.") and name.split(".")[3] not in "25"}
    check(build, load_expert, LAYERED, rest=rest)
    # Recorded by itself, it is like any other.
    first = random_like(LAYERED, 1)
    toy = Toy(build, load_expert)
    toy.load_weights(list(first.items()))
    assert recorded_and_proved(toy, first, Pool(first), stamped=False).rest().tolist() == []
