"""A model of many tensors in host memory that the receiver of this repository updates: a stand-in for an engine on a CPU.

    PYTHONPATH=python/worker/src python receiver_model.py '{"layers": 2, "experts": 4, "tp": 2, "rank": 0}'

Experts are fused as in vLLM, and each rank keeps its slices. Each line of standard input is a request:

    {"handles": {...}}      receives one update
    {"digest": true}        returns a digest of all parameters

    {"fault": "flipped bit"}  breaks pulls from now on: `worker_faults.py`

Each one is answered by a line of JSON.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from typing import Any

import torch
from checkpoint_engine_worker.engine import Engine
from checkpoint_engine_worker.pull.engine_puller import EnginePuller
from checkpoint_engine_worker.receiver import Receiver
from checkpoint_engine_worker.target import CallbackTarget
from worker_faults import set_fault


class Model(torch.nn.Module):
    """The parameters that one rank keeps."""

    def __init__(self, form: dict[str, int]) -> None:
        super().__init__()
        self.tp, self.rank = form["tp"], form["rank"]
        hidden, inner, experts = form["hidden"], form["inner"] // self.tp, form["experts"]
        self.embed = _holder(weight=(form.get("vocabulary", 256), hidden))
        self.layers = torch.nn.ModuleList()
        for _ in range(form["layers"]):
            layer = torch.nn.Module()
            layer.q = _holder(weight=(hidden // self.tp, hidden))
            layer.o = _holder(weight=(hidden, hidden // self.tp))
            if experts > 0:
                layer.experts = _holder(w13=(experts, 2 * inner, hidden), w2=(experts, hidden, inner))
            self.layers.append(layer)

    @torch.no_grad()
    def load_weights(self, weights: Any) -> None:
        for name, tensor in weights:
            self._load(name.split("."), tensor)

    def _load(self, path: list[str], tensor: Any) -> None:
        if path[0] == "embed":
            self.embed.weight.copy_(tensor)
            return
        layer = self.layers[int(path[1])]
        kind = path[-2]
        part = self._part(tensor, 1 if kind in ("o", "down") else 0)
        if kind in ("q", "o"):
            getattr(layer, kind).weight.copy_(part)
            return
        expert = int(path[3])
        if kind == "down":
            layer.experts.w2[expert].copy_(part)
            return
        rows = layer.experts.w13[expert]
        half = rows.shape[0] // 2
        (rows[:half] if kind == "gate" else rows[half:]).copy_(part)

    def _part(self, tensor: Any, axis: int) -> Any:
        size = tensor.shape[axis] // self.tp
        return tensor.narrow(axis, self.rank * size, size)


def _holder(**shapes: tuple[int, ...]) -> torch.nn.Module:
    module = torch.nn.Module()
    for name, shape in shapes.items():
        module.register_parameter(
            name, torch.nn.Parameter(torch.zeros(shape, dtype=torch.bfloat16), requires_grad=False)
        )
    return module


class ToyEngine:
    """A worker of an engine."""

    def __init__(self, form: dict[str, int]) -> None:
        self.model = Model(form)
        self.device = torch.device("cpu")
        self.receiver = Receiver(self.device, form["rank"])
        self.puller = EnginePuller(self.engine, prepare_refresh=lambda: lambda: None)

    def engine(self) -> Engine:
        return Engine(
            self.model.load_weights, [("", self.model)], self.device, {"tp": f"{self.model.rank} of {self.model.tp}"}
        )

    def update(self, handles: dict[str, str]) -> dict[str, Any]:
        target = CallbackTarget(self.model.load_weights, self.device)
        started = time.perf_counter()
        self.receiver.receive(handles, target, 240, self.puller)
        return {"ms": (time.perf_counter() - started) * 1e3, "proved": self.puller.is_proved}

    def digest(self) -> str:
        found = hashlib.sha256()
        for _, parameter in sorted(self.model.named_parameters()):
            found.update(parameter.detach().view(torch.uint8).numpy())
        return found.hexdigest()


def answer(engine: ToyEngine, request: dict[str, Any]) -> dict[str, Any]:
    if "handles" in request:
        return engine.update(request["handles"])
    if "fault" in request:
        set_fault(request["fault"])
        return {}
    return {"digest": engine.digest()}


def main() -> None:
    torch.set_num_threads(1)
    engine = ToyEngine(json.loads(sys.argv[1]))
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        try:
            reply = answer(engine, json.loads(line))
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
