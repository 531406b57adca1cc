"""The state that a worker of vLLM resets after an update."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from checkpoint_engine_worker.session.device import host_prefix
from checkpoint_engine_worker.vllm_extension import WorkerExtension, _models_of, _puller_of
from fake_server import Connection, FakeServer
from test_session import expect

torch: Any = pytest.importorskip("torch")
pytest.importorskip("numpy")


class Runner:
    """A model runner that records what is reset."""

    supports_mm_inputs = True
    model = torch.nn.Linear(2, 2)

    def __init__(self) -> None:
        self.resets: list[str] = []

    def reset_lora_state(self) -> None:
        self.resets.append("adapters")

    def reset_mm_cache(self) -> None:
        self.resets.append("inputs")

    def reset_encoder_cache(self) -> None:
        self.resets.append("encoder")


def worker_with(runner: Runner) -> Any:
    worker: Any = WorkerExtension()
    worker.model_runner = runner
    worker.vllm_config = SimpleNamespace(model_config=SimpleNamespace(model="/models/target"))
    worker.device, worker.local_rank = torch.device("cpu"), 0
    return worker


def test_a_replaced_model_has_its_own_puller() -> None:
    worker = worker_with(Runner())
    first = _puller_of(worker, _models_of(worker))
    assert first is not None
    assert _puller_of(worker, _models_of(worker)) is first
    worker.model_runner.model = torch.nn.Linear(2, 2)
    second = _puller_of(worker, _models_of(worker))
    assert second is not None
    assert second is not first
    assert _puller_of(worker, _models_of(worker)) is second


def test_a_pull_resets_adapters_and_leaves_the_caches_of_requests_to_the_engine() -> None:
    config: Any = pytest.importorskip("vllm.config")
    from checkpoint_engine_worker.vllm.finish import prepare_refresh

    runner = Runner()
    refresh = prepare_refresh([(runner.model, None)], config.VllmConfig(), torch.device("cpu"), runner)
    refresh()
    assert runner.resets == ["adapters"]


def test_a_session_without_weights_does_not_change_adapters() -> None:
    from test_pull_session import Rig

    worker = worker_with(Runner())
    worker._checkpoint_engine_puller = ([worker.model_runner.model], Rig().puller)

    def script(server: Connection) -> None:
        expect(server, "hello")
        server.send({"type": "report"})
        expect(server, "reported")
        server.send({"type": "bye"})

    with FakeServer(script) as server:
        worker.checkpoint_engine_update({f"{host_prefix()}0": server.address}, 10.0)
    assert worker.model_runner.resets == []
    assert worker.checkpoint_engine_describe()["cachesEncoder"] is True
