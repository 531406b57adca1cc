"""SGLang's own `WeightUpdater` with the plugin in front of it. Skipped if SGLang is not installed."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from fake_server import FakeServer
from segment import segment
from test_receiver import UUID, update
from test_session import CONTENT

torch: Any = pytest.importorskip("torch")
hook_registry: Any = pytest.importorskip("sglang.srt.plugins.hook_registry")
weight_updater: Any = pytest.importorskip("sglang.srt.model_executor.model_runner_components.weight_updater")
scheduler_updater: Any = pytest.importorskip("sglang.srt.managers.scheduler_components.weight_updater")

from checkpoint_engine_worker import sglang_plugin  # noqa: E402


class QuantMethod:
    """Doubles the loaded values, as a stand-in for packing."""

    def process_weights_after_loading(self, layer: Any) -> None:
        layer.packed = layer.a.clone() + 1


class Layer(torch.nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.a = torch.nn.Parameter(torch.zeros(16, 16, dtype=torch.uint8), requires_grad=False)
        self.quant_method = QuantMethod()


class TinyModel(torch.nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.layer = Layer()
        self.hooks = 0

    def load_weights(self, weights: Iterator[tuple[str, Any]]) -> None:
        for name, tensor in weights:
            getattr(self.layer, name).copy_(tensor)

    def post_load_weights(self) -> None:
        self.hooks += 1


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    original = weight_updater.WeightUpdater.update_weights_from_ipc
    hook_registry.HookRegistry.reset()
    monkeypatch.setattr(weight_updater.WeightUpdater, "_assert_weight_cache_inactive", lambda *_: None, raising=False)
    # Runners of other tests.
    sglang_plugin._receivers.clear()
    sglang_plugin.register()
    hook_registry.HookRegistry.apply_hooks()
    assert weight_updater.WeightUpdater.update_weights_from_ipc is not original

    class Runner:
        model = TinyModel()
        device = "cpu"
        gpu_id = 0
        tp_rank = 0

    made = Runner()
    yield made
    weight_updater.WeightUpdater.update_weights_from_ipc = original
    hook_registry.HookRegistry.reset()
    gc.collect()


def updater_of(runner: Any) -> Any:
    return weight_updater.WeightUpdater(
        tp_rank=0,
        device="cpu",
        gpu_id=0,
        model_config=None,
        custom_weight_loaders={},
        get_model=lambda: runner.model,
        update_model_fields=lambda **_: None,
        recapture_cuda_graph=lambda: None,
        get_model_runner=lambda: runner,
    )


def test_receives_over_protocol_2_and_processes_the_weights(runner: Any) -> None:
    with segment(CONTENT) as handle, FakeServer(lambda server: update(server, handle)) as server:
        request = SimpleNamespace(zmq_handles={UUID: server.address})
        assert updater_of(runner).update_weights_from_ipc(request) == (True, "Received step-100: 1 tensors")
    loaded = bytes(runner.model.layer.a.numpy().reshape(-1))
    assert loaded == CONTENT[:256]
    assert torch.equal(runner.model.layer.packed, runner.model.layer.a + 1)
    assert runner.model.hooks == 1


def test_reports_a_failure_and_keeps_the_state(runner: Any) -> None:
    with segment(CONTENT) as handle, FakeServer(lambda server: update(server, handle, dies=True)) as server:
        success, message = updater_of(runner).update_weights_from_ipc(
            SimpleNamespace(zmq_handles={UUID: server.address})
        )
    assert not success
    assert "CE_PEER_LOST" in message
    output = SimpleNamespace(internal_state={})
    sglang_plugin.get_internal_state(lambda *_: output, None, None)
    assert output.internal_state[sglang_plugin.FIELD]["weights"] == "unknown"
    assert output.internal_state[sglang_plugin.FIELD]["protocols"] == [2]


def test_leaves_other_addresses_to_sglang(runner: Any) -> None:
    request = SimpleNamespace(zmq_handles={"GPU-1": "ipc://@checkpoint-engine-GPU-1-0.sock"})
    success, message = updater_of(runner).update_weights_from_ipc(request)
    assert not success
    # SGLang's own worker is not installed, or reports that there is no such device.
    assert "checkpoint" in message or "GPU" in message or "CUDA" in message


class MemorySaver:
    """Replaces torch-memory-saver, which needs a GPU, and records what it would unmap."""

    def __init__(self, *, enabled: bool) -> None:
        self.enabled = enabled
        self.asleep: set[str] = set()

    def pause(self, tag: str) -> None:
        self.asleep.add(tag)

    def resume(self, tag: str) -> None:
        self.asleep.remove(tag)


@pytest.fixture
def group() -> Iterator[Any]:
    """The group of one process, for SGLang's barriers."""
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield torch.distributed.group.WORLD
    torch.distributed.destroy_process_group()


def manager_of(runner: Any, group: Any, monkeypatch: pytest.MonkeyPatch, *, saves: bool = True) -> Any:
    manager_class: Any = scheduler_updater.SchedulerWeightUpdaterManager
    monkeypatch.setattr(manager_class, "_assert_weight_cache_inactive", lambda *_: None)
    manager = object.__new__(manager_class)
    manager.tp_worker, manager.draft_worker = SimpleNamespace(model_runner=runner), None
    manager.memory_saver_adapter = MemorySaver(enabled=saves)
    manager.flush_cache = lambda **_: True
    manager.is_fully_idle = lambda **_: True
    manager.scheduler, manager.offload_tags, manager.tp_cpu_group = None, set(), group
    return manager


def test_refuses_an_update_while_the_weights_have_no_memory(
    runner: Any, group: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = manager_of(runner, group, monkeypatch)
    before = bytes(runner.model.layer.a.numpy().reshape(-1))
    with segment(CONTENT) as handle:
        with FakeServer(lambda server: update(server, handle)) as server:
            assert updater_of(runner).update_weights_from_ipc(SimpleNamespace(zmq_handles={UUID: server.address}))[0]
        assert described()["weights"] == "loaded"
        manager.release_memory_occupation(SimpleNamespace(tags=["weights", "kv_cache"]))
        assert manager.memory_saver_adapter.asleep == {"weights", "kv_cache"}
        runner.model.layer.a.data.copy_(torch.frombuffer(bytearray(before), dtype=torch.uint8).view(16, 16))
        success, message = updater_of(runner).update_weights_from_ipc(SimpleNamespace(zmq_handles={UUID: "ce2:x"}))
        assert not success
        assert "CE_ENGINE_FAILED: The engine has released its weights" in message
        assert bytes(runner.model.layer.a.numpy().reshape(-1)) == before
        # The memory has other bytes afterwards.
        assert described()["weights"] == "unknown"
        manager.resume_memory_occupation(SimpleNamespace(tags=["weights"]))
        assert described()["weights"] == "unknown"
        with FakeServer(lambda server: update(server, handle)) as server:
            assert updater_of(runner).update_weights_from_ipc(SimpleNamespace(zmq_handles={UUID: server.address}))[0]
        assert described()["weights"] == "loaded"
    manager.resume_memory_occupation(SimpleNamespace(tags=["kv_cache"]))
    assert manager.memory_saver_adapter.asleep == set()


def test_a_release_that_releases_nothing_changes_nothing(
    runner: Any, group: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = manager_of(runner, group, monkeypatch, saves=False)
    manager.release_memory_occupation(SimpleNamespace(tags=None))
    with segment(CONTENT) as handle, FakeServer(lambda server: update(server, handle)) as server:
        assert updater_of(runner).update_weights_from_ipc(SimpleNamespace(zmq_handles={UUID: server.address}))[0]
    manager.resume_memory_occupation(SimpleNamespace(tags=None))


def described() -> dict[str, Any]:
    output = SimpleNamespace(internal_state={})
    sglang_plugin.get_internal_state(lambda *_: output, None, None)
    found: dict[str, Any] = output.internal_state[sglang_plugin.FIELD]
    return found
