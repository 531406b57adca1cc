"""Modules that are proved through their kind: a module that differs from its kind is detected and not pulled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from checkpoint_engine_worker.engine import Engine
from checkpoint_engine_worker.proof.process_trial import CHANGES, DERIVES
from checkpoint_engine_worker.proof.representatives import differing_samples, represent
from checkpoint_engine_worker.recorder.record import record
from checkpoint_engine_worker.recording.fingerprint import fingerprint_of, metas_digest
from checkpoint_engine_worker.recording.recording import Recording
from toy_engine import Pool, Toy, Weights, metas_of, parameter, random_like, update

LAYERS, EXPERTS = 8, 6

FORM: Weights = {
    "embed.weight": torch.zeros(16, 8, dtype=torch.bfloat16),
    **{f"layers.{i}.norm.weight": torch.zeros(8, dtype=torch.bfloat16) for i in range(LAYERS)},
    **{f"layers.{i}.down.weight": torch.zeros(8, 12) for i in range(LAYERS)},
    **{
        f"layers.{i}.experts.{e}.{kind}.weight": torch.zeros(*shape, dtype=torch.bfloat16)
        for i in range(LAYERS)
        for e in range(EXPERTS)
        for kind, shape in (("gate", (5, 8)), ("up", (5, 8)), ("out", (8, 5)))
    },
}

Loaded = Callable[[str, torch.Tensor], torch.Tensor]
Processed = Callable[[str, Any], None]


class Part(torch.nn.Module):  # type: ignore[misc]
    def __init__(self, **tensors: torch.nn.Parameter) -> None:
        super().__init__()
        for name, tensor in tensors.items():
            setattr(self, name, tensor)


def build(toy: Toy) -> None:
    toy.embed = Part(weight=parameter(16, 8, dtype=torch.bfloat16))
    layers = torch.nn.ModuleList()
    for _ in range(LAYERS):
        layer = torch.nn.Module()
        layer.norm = Part(weight=parameter(8))  # kept in F32: its loader converts
        layer.down = Part(weight=parameter(8, 6))  # half of the columns
        layer.experts = Part(
            w13=parameter(EXPERTS, 10, 8, dtype=torch.bfloat16), w2=parameter(EXPERTS, 8, 5, dtype=torch.bfloat16)
        )
        layers.append(layer)
    toy.layers = layers


def load(toy: Toy, name: str, tensor: torch.Tensor) -> None:
    parts = name.split(".")
    if "experts" not in parts:
        into = toy.get_parameter(name).data
        tensor = tensor.to(into.device)
        into.copy_(tensor.narrow(1, 6, 6) if "down" in parts else tensor)
        return
    experts, e, kind = toy.layers[int(parts[1])].experts, int(parts[3]), parts[4]
    if kind == "out":
        experts.w2.data[e] = tensor
    else:
        experts.w13.data[e].narrow(0, 0 if kind == "gate" else 5, 5).copy_(tensor)


class Rig:
    """A toy engine whose loader and processing may differ between modules."""

    def __init__(
        self, loaded: Loaded = lambda _, tensor: tensor, processed: Processed = lambda path, module: None
    ) -> None:
        self.loads = 0
        self.is_on_meta = False

        def loads(toy: Toy, name: str, tensor: torch.Tensor) -> None:
            self.loads += 1
            load(toy, name, loaded(name, tensor))

        self.toy = Toy(build, loads)
        self.paths = {id(module): path for path, module in self.toy.named_modules()}
        self._processed = processed

    def process(self, module: Any) -> None:
        self._processed(self.paths[id(module)], module)

    def ordinary(self, weights: Weights) -> None:
        """Loads and processes a complete checkpoint, as the engine does."""
        self.toy.load_weights([(name, tensor.clone()) for name, tensor in weights.items()])
        for module in self.toy.modules():
            self.process(module)

    def engine(self) -> Engine:
        load_format = self.load_format if self.is_on_meta else None
        return Engine(self.toy.load_weights, [("", self.toy)], "cpu", load_format=load_format, process=self.process)

    @contextmanager
    def load_format(self) -> Iterator[None]:
        """Sets parameters without memory and another default device, like a quantizing engine during a load."""
        tables = [(module._parameters, dict(module._parameters)) for module in self.toy.modules()]
        for table, saved in tables:
            table.update(
                {name: torch.nn.Parameter(t.data.to("meta"), requires_grad=False) for name, t in saved.items()}
            )
        try:
            with torch.device("meta"):
                yield
        finally:
            for table, saved in tables:
                table.update(saved)

    def represented(self, *, stamped: bool = True) -> Recording:
        metas = metas_of(FORM)
        recording = record(self.engine(), metas, stamped=stamped)
        before = self.toy.state()
        found = represent(self.engine(), recording)
        assert self.toy.state() == before
        found.accept(recording, fingerprint_of(self.engine(), metas_digest(metas)))
        return recording

    def updated(self, recording: Recording, weights: Weights) -> dict[str, bytes]:
        """Updates the engine: direct modules by a pull, others through the loader and the processing."""
        pool = Pool(weights)
        rest = {recording.tensors[i].name for i in recording.rest().tolist()}
        update(self.toy, recording, weights, pool)
        for path, module in self.toy.named_modules():
            if any(name.startswith(f"{path}.") for name in rest) and isinstance(module, Part):
                self.process(module)
        return self.toy.state()


def fresh(rig: Rig, weights: Weights, **differs: Any) -> dict[str, bytes]:
    other = Rig(**differs)
    other.ordinary(weights)
    return other.toy.state()


def rest_of(recording: Recording) -> set[str]:
    """Returns the modules that go through the loader, by their names in the checkpoint."""
    names = [recording.tensors[i].name for i in recording.rest().tolist()]
    return {
        name.split(".experts.")[0] + ".experts" if ".experts." in name else name.rpartition(".")[0] for name in names
    }


@pytest.mark.parametrize("is_on_meta", [True, False])
@pytest.mark.parametrize("stamped", [True, False])
def test_the_first_update_is_a_pull_without_a_load(stamped: bool, is_on_meta: bool) -> None:
    rig = Rig()
    rig.is_on_meta = is_on_meta
    recording = rig.represented(stamped=stamped)
    assert rest_of(recording) == set()
    summary = recording.summary()
    # The embedding, and three kinds of modules in each layer.
    assert (summary.direct, summary.kinds, summary.represented) == (1 + 3 * LAYERS, 4, 3 * (LAYERS - 1))
    loads = rig.loads
    weights = random_like(FORM, 7)
    assert rig.updated(recording, weights) == fresh(rig, weights)
    assert rig.loads == loads
    assert differing_samples(rig.engine(), recording) == {}
    assert rig.toy.state() == fresh(rig, weights)


def negated(path: str, wanted: str) -> Processed:
    def processed(at: str, module: Any) -> None:
        if at == wanted:
            for tensor in module.parameters(recurse=False):
                tensor.data.neg_()

    return processed


@pytest.mark.parametrize("module", ["layers.4.down", "layers.6.experts", "layers.7.norm", "embed"])
def test_one_module_that_is_processed_differently_is_left_to_the_engine(module: str) -> None:
    differs = {"processed": negated("", module)}
    rig = Rig(**differs)
    recording = rig.represented()
    assert rest_of(recording) == {module}
    assert (module, CHANGES) in recording.summary().reasons
    weights = random_like(FORM, 7)
    assert rig.updated(recording, weights) == fresh(rig, weights, **differs)


def test_a_first_module_that_is_processed_excludes_its_kind() -> None:
    differs = {"processed": negated("", "layers.0.experts")}
    rig = Rig(**differs)
    recording = rig.represented()
    assert rest_of(recording) == {f"layers.{i}.experts" for i in range(LAYERS)}
    weights = random_like(FORM, 7)
    assert rig.updated(recording, weights) == fresh(rig, weights, **differs)


@pytest.mark.parametrize("stamped", [True, False])
@pytest.mark.parametrize("name", ["layers.5.experts.3.up.weight", "layers.2.norm.weight", "layers.1.down.weight"])
@pytest.mark.parametrize("change", [lambda w: w.flip(0), lambda w: w.neg(), lambda w: w.neg_(), lambda w: w + 0.5])
def test_one_module_that_is_loaded_differently_is_left_to_the_engine(
    name: str, change: Callable[[Any], Any], stamped: bool
) -> None:
    differs = {"loaded": lambda at, tensor: change(tensor) if at == name else tensor}
    rig = Rig(**differs)
    recording = rig.represented(stamped=stamped)
    module = name.split(".experts.")[0] + ".experts" if ".experts." in name else name.rpartition(".")[0]
    assert module in rest_of(recording)
    weights = random_like(FORM, 7)
    assert rig.updated(recording, weights) == fresh(rig, weights, **differs)


def test_a_module_that_derives_values_is_left_to_the_engine() -> None:
    def processed(path: str, module: Any) -> None:
        if path == "layers.5.down":
            module.total = module.weight.data.sum(0)

    rig = Rig(processed=processed)
    recording = rig.represented()
    assert rest_of(recording) == {"layers.5.down"}
    assert ("layers.5.down", DERIVES) in recording.summary().reasons
    assert not hasattr(rig.toy.layers[5].down, "total")


def test_values_that_the_engine_treats_differently_are_detected_after_the_first_pull() -> None:
    def processed(path: str, module: Any) -> None:
        if path == "layers.5.norm" and float(module.weight.data.max()) > 100:
            module.weight.data.div_(2)

    rig = Rig(processed=processed)
    recording = rig.represented()
    weights = random_like(FORM, 7)
    rig.updated(recording, weights)
    assert differing_samples(rig.engine(), recording) == {}
    weights["layers.5.norm.weight"] = torch.full((8,), 128.0, dtype=torch.bfloat16)
    before = rig.updated(recording, weights)
    differing = differing_samples(rig.engine(), recording)
    assert rig.toy.state() == before
    owners, groups = recording.owners, recording.groups()[0]
    assert [owner.path for owner, group in zip(owners, groups, strict=True) if int(group) in differing] == [
        "layers.5.norm.weight"
    ]
    recording.lower(differing)
    assert rest_of(recording) == {"layers.5.norm"}
    assert rig.updated(recording, weights) == fresh(rig, weights, processed=processed)


def test_processing_that_fails_or_replaces_objects_does_not_change_the_engine() -> None:
    class Method:
        def __init__(self) -> None:
            self.kernel: Any = "first"

    def processed(path: str, module: Any) -> None:
        if path == "layers.3.down":
            module.weight = torch.nn.Parameter(module.weight.data.t().contiguous())
            module.kernel, module.method.kernel = "second", "second"
        if path == "layers.4.down":
            del module.weight
            raise RuntimeError("no memory")

    rig = Rig(processed=processed)
    for layer in rig.toy.layers:
        layer.down.method = Method()
    weight = rig.toy.layers[3].down.weight
    recording = rig.represented()
    assert rest_of(recording) == {"layers.3.down", "layers.4.down"}
    assert rig.toy.layers[3].down.weight is weight
    assert rig.toy.layers[3].down.method.kernel == "first"
    assert not hasattr(rig.toy.layers[3].down, "kernel")
    assert any("no memory" in reason for _, reason in recording.summary().reasons)


def test_modules_with_different_settings_are_different_kinds() -> None:
    rig = Rig()
    rig.toy.layers[6].down.tp_rank = 1
    assert rig.represented().kinds == 5
    rig.toy.layers[5].down.layer_idx = 5
    assert rig.represented().kinds == 5
    rig.toy.layers[5].down.prefix = "layers.5.down"
    rig.toy.layers[4].down.prefix = "layers.4.down"
    assert rig.represented().kinds == 6


def test_a_draft_model_in_the_same_checkpoint() -> None:
    rig, draft = Rig(), Toy(build, load)

    def loads(weights: list[tuple[str, torch.Tensor]]) -> None:
        rig.toy.load_weights(weights)
        # It keeps only the last layer, as its first layer.
        last = f"layers.{LAYERS - 1}."
        draft.load_weights([(n.replace(last, "layers.0."), t) for n, t in weights if n.startswith((last, "embed"))])

    engine = Engine(loads, [("", rig.toy), ("draft1", draft)], "cpu", process=lambda _: None)
    metas = metas_of(FORM)
    recording = record(engine, metas)
    represent(engine, recording).accept(recording, fingerprint_of(engine, metas_digest(metas)))
    assert rest_of(recording) == set()
    weights = random_like(FORM, 7)
    untouched = draft.get_parameter("layers.3.down.weight").clone()
    update(rig.toy, recording, weights, Pool(weights))
    assert rig.toy.state() == fresh(rig, weights)
    mine, theirs = draft.layers[0].experts, rig.toy.layers[LAYERS - 1].experts
    assert torch.equal(mine.w13, theirs.w13)
    assert torch.equal(draft.embed.weight, rig.toy.embed.weight)
    assert torch.equal(draft.get_parameter("layers.3.down.weight"), untouched)
    assert differing_samples(engine, recording) == {}
