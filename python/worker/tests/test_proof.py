"""Only data that was compared with the engine and found equal may be pulled."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from checkpoint_engine_worker.copying.pull_table import PullTable
from checkpoint_engine_worker.errors import CheckpointEngineError
from checkpoint_engine_worker.proof.derived import changed_modules, unwritten_digests
from checkpoint_engine_worker.proof.proof import Proof, prove
from checkpoint_engine_worker.recorder.record import record
from checkpoint_engine_worker.recording.fingerprint import fingerprint_of, metas_digest
from toy_engine import Pool, Toy, Weights, check, linear, metas_of, parameter, random_like, recorded_and_proved


def test_a_module_that_the_engine_changes_after_loading_is_staged() -> None:
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
    toy.a.weight.data.mul_(2)  # as an engine does after loading
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


def test_the_engine_loads_layers_with_derived_values() -> None:
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
    toy.layers[0].a.kv_cache = [torch.zeros(64)]  # changes with every request
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


class _Handle:
    """Like a library's packed weight, which is released with its owner."""

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


def test_layers_whose_maps_of_experts_differ_are_recorded_separately() -> None:
    _, recording = check(layered, load_expert, LAYERED, rest=set())
    assert recording.needs().size_bytes == 7 * 4 * 3 * 2 * 4
    needed = {recording.tensors[i].name for i in recording.needs().tensor.tolist()}
    assert "layers.2.experts.1.up.weight" in needed
    assert "layers.2.experts.0.up.weight" not in needed
    assert "layers.3.experts.2.up.weight" not in needed


def test_the_proof_detects_a_layer_that_only_looks_like_the_others() -> None:
    # Layers 0, 4 and 6 represent all layers except for layer 2.
    def build(toy: Toy) -> None:
        layered(toy)
        toy.layers[5].odd = True

    rest = {name for name in LAYERED if name.startswith("layers.5.") and name.split(".")[3] not in "25"}
    check(build, load_expert, LAYERED, rest=rest)
    # Recorded separately, it is like any other.
    first = random_like(LAYERED, 1)
    toy = Toy(build, load_expert)
    toy.load_weights(list(first.items()))
    assert recorded_and_proved(toy, first, Pool(first), stamped=False).rest().tolist() == []


def test_an_update_of_integer_parameters_does_not_void_the_proof() -> None:
    def build(toy: Toy) -> None:
        toy.table = torch.nn.Parameter(torch.zeros(6, dtype=torch.int32), requires_grad=False)

    def load(toy: Toy, name: str, tensor: torch.Tensor) -> None:
        toy.table.data.copy_(tensor)

    form = {"table": torch.zeros(6, dtype=torch.int32)}
    toy, recording = check(build, load, form, rest=set())
    recording.check(fingerprint_of(toy.engine(), metas_digest(metas_of(form))))
    assert recording.proved


def test_single_elements_at_a_pitch_are_compared_and_converted() -> None:
    def load(toy: Toy, name: str, tensor: torch.Tensor) -> None:
        toy.a.weight.data[:, 1].narrow(0, 1, 1).copy_(tensor)
        toy.a.numbers[::2][:1].copy_(tensor)

    def build(toy: Toy) -> None:
        linear(toy, "a", 3, 2)
        toy.a.register_buffer("numbers", torch.zeros(4, dtype=torch.float64)[::2])
        toy.a.register_buffer("places", torch.arange(4)[::2][1:])

    check(build, load, {"a.weight": torch.zeros(1, dtype=torch.bfloat16)}, rest=set())


def test_only_a_module_with_weights_and_derived_values_is_left_to_the_engine() -> None:
    def build(toy: Toy) -> None:
        linear(toy, "a", 4, 4)
        linear(toy, "b", 4, 4)
        toy.a.register_buffer("squares", torch.zeros(4, 4))

    def load(toy: Toy, name: str, tensor: torch.Tensor) -> None:
        getattr(toy, name.split(".")[0]).weight.data.copy_(tensor)

    form = {"a.weight": torch.zeros(4, 4), "b.weight": torch.zeros(4, 4)}
    toy = Toy(build, load)
    pool, recording = Pool(form), record(toy.engine(), metas_of(form))
    toy.load_weights(list(form.items()))
    for derived, rest in (({"a"}, [0]), ({"c.d"}, [0, 1])):
        result = prove(recording, pool.places, pool.regions, "cpu", derived=derived)
        result.accept(recording, recording.fingerprint)
        assert recording.rest().tolist() == rest


def test_a_proof_in_parts_equals_the_proof_at_once_and_needs_every_byte() -> None:
    def build(toy: Toy) -> None:
        for name in "abc":
            linear(toy, name, 4, 4, dtype=torch.bfloat16 if name == "b" else torch.float32)

    def load(toy: Toy, name: str, tensor: torch.Tensor) -> None:
        getattr(toy, name.split(".")[0]).weight.data.copy_(tensor.t() if name == "a.weight" else tensor)

    form = {f"{name}.weight": torch.zeros(4, 4) for name in "abc"}
    first = random_like(form, 3)
    toy = Toy(build, load)
    toy.load_weights(list(first.items()))
    pool, recording = Pool(first), record(toy.engine(), metas_of(form))
    parts = pool.cut([7, 3, 11])
    for given, rest in ((parts, []), (parts[:2], [2]), (parts[1:], [0]), ([], [0, 1, 2])):
        proof = Proof(recording, "cpu")
        for part in given:
            proof.compare(part, pool.regions)
        proof.result().accept(recording, recording.fingerprint)
        assert recording.rest().tolist() == rest
    toy.c.weight.data[3, 3] += 1
    proof = Proof(recording, "cpu")
    for part in parts:
        proof.compare(part, pool.regions)
    proof.result().accept(recording, recording.fingerprint)
    assert recording.rest().tolist() == [2]
