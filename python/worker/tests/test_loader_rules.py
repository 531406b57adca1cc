"""The rules of the recorder, one by one."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from checkpoint_engine_worker.proof.proof import prove
from checkpoint_engine_worker.recorder.record import record
from checkpoint_engine_worker.recording.fingerprint import fingerprint_of, metas_digest
from toy_engine import Pool, Toy, Weights, check, linear, metas_of, parameter, random_like


def test_constants_are_recorded_and_not_written() -> None:
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
def test_values_computed_after_loading_are_opaque(transform: str) -> None:
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


def test_a_replaced_parameter_is_restored_and_opaque() -> None:
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


def test_names_unknown_to_the_engine_are_not_needed() -> None:
    def load(toy: Toy, name: str, tensor: torch.Tensor) -> None:
        if name == "a.weight":
            toy.a.weight.data.copy_(tensor)

    form = {"a.weight": torch.zeros(4, 4), "mtp.weight": torch.zeros(100, 4)}
    _, recording = check(lambda toy: linear(toy, "a", 4, 4), load, form, rest=set())
    assert recording.needs().size_bytes == 64


def test_casts_are_converted_as_in_torch() -> None:
    def build(toy: Toy) -> None:
        linear(toy, "a", 6, 4)
        linear(toy, "b", 6, 4, dtype=torch.bfloat16)

    def load(toy: Toy, name: str, tensor: torch.Tensor) -> None:
        weight = getattr(toy, name.split(".")[0]).weight
        weight.data[:3].copy_(tensor[1:4])
        weight.data[3:].copy_(tensor[1:4].to(weight.dtype))

    form = {"a.weight": torch.zeros(5, 4, dtype=torch.bfloat16), "b.weight": torch.zeros(5, 4)}
    check(build, load, form, rest=set())


@pytest.mark.parametrize("way", ["parameter", "data", "attribute", "list", "dict"])
def test_tensors_that_a_loader_puts_in_place_of_others_are_opaque_and_removed(way: str) -> None:
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


def test_an_engine_from_which_nothing_can_be_pulled() -> None:
    def load(toy: Toy, name: str, tensor: torch.Tensor) -> None:
        toy.a.weight.data.copy_(tensor * 2)

    _, recording = check(lambda toy: linear(toy, "a", 4, 4), load, {"a.weight": torch.zeros(4, 4)}, rest={"a.weight"})
    assert recording.needs().size_bytes == 0
    assert recording.rest_groups() == [[0]]


def test_a_loader_that_needs_all_tensors_in_one_call() -> None:
    count = 8

    def build(toy: Toy) -> None:
        toy.layers = torch.nn.ModuleList()
        for _ in range(count):
            layer = torch.nn.Module()
            linear(layer, "a", 4, 4)
            toy.layers.append(layer)

    def one(toy: Toy, name: str, tensor: torch.Tensor) -> None:
        toy.layers[int(name.split(".")[1])].a.weight.data.copy_(tensor)

    def whole(toy: Toy, weights: list[tuple[str, torch.Tensor]]) -> None:
        if len(weights) != count:
            raise ValueError(f"{count - len(weights)} weights are missing")
        for name, tensor in weights:
            one(toy, name, tensor)

    check(build, one, {f"layers.{i}.a.weight": torch.zeros(4, 4) for i in range(count)}, rest=set(), whole=whole)
