"""vLLM's own allocator, with host memory instead of the driver's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from checkpoint_engine_worker.errors import CheckpointEngineError

torch: Any = pytest.importorskip("torch")
cumem: Any = pytest.importorskip("vllm.device_allocator.cumem")

from vllm.device_allocator import AllocationData  # noqa: E402

from checkpoint_engine_worker.vllm.sleep import VllmMemory, watch_sleep  # noqa: E402

CUDA = SimpleNamespace(type="cuda")


@pytest.fixture
def allocator(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Two blocks of weights and one of the key-value cache."""
    made = cumem.CuMemAllocator()
    for address, tag in ((0x30000, "kv_cache"), (0x20000, "weights"), (0x10000, "weights")):
        made.pointer_to_data[address] = AllocationData((0, 0x1000, address, 1), tag)
    monkeypatch.setattr(cumem.CuMemAllocator, "instance", made)
    monkeypatch.setattr(cumem, "unmap_and_release", lambda handle: None)
    monkeypatch.setattr(cumem, "create_and_map", lambda handle: None)
    monkeypatch.setattr(cumem, "libcudart", SimpleNamespace(cudaMemcpy=lambda *_: None))
    monkeypatch.setattr(cumem, "PIN_MEMORY", False)
    for name in ("empty_cache", "synchronize"):
        monkeypatch.setattr(torch.accelerator, name, lambda *_: None)
    return made


def test_an_engine_on_cpus_never_sleeps(allocator: Any) -> None:
    allocator.sleep(("weights",))
    memory = VllmMemory(torch.device("cpu"))
    memory.check()
    assert (memory.asleep(), list(memory.discardable()), memory.discards()) == ((), [], 0)


def test_reports_what_sleeps(allocator: Any) -> None:
    memory = VllmMemory(CUDA)
    memory.check()
    assert memory.asleep() == ()
    assert memory.discardable() == [(0x10000, 0x11000), (0x20000, 0x21000)]
    allocator.sleep(("weights",))
    assert memory.asleep() == ("kv_cache", "weights")
    with pytest.raises(CheckpointEngineError, match=r"wake_up\?tags=weights") as raised:
        memory.check()
    assert raised.value.code == "CE_ENGINE_FAILED"
    allocator.wake_up(["weights"])
    memory.check()
    assert memory.asleep() == ("kv_cache",)
    allocator.wake_up(["kv_cache"])
    assert memory.asleep() == ()


def test_counts_only_discards(allocator: Any) -> None:
    memory = VllmMemory(CUDA)
    before = memory.discards()
    allocator.sleep(("weights",))
    allocator.wake_up(None)
    assert memory.discards() == before
    allocator.sleep(())
    assert memory.discards() == before + 1
    allocator.wake_up(["weights"])
    allocator.wake_up(["kv_cache"])
    watch_sleep()
    allocator.sleep(())
    # Watching twice counts once.
    assert memory.discards() == before + 2


def test_counts_discards_by_tag(allocator: Any) -> None:
    if not hasattr(allocator, "discard"):
        pytest.skip("this release of vLLM discards in no other way than by sleep")
    memory = VllmMemory(CUDA)
    before = memory.discards()
    allocator.discard("kv_cache")
    assert memory.discards() == before
    allocator.discard("weights")
    assert memory.discards() == before + 1


def test_an_engine_without_sleep_mode_has_nothing_to_discard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cumem.CuMemAllocator, "instance", None)
    memory = VllmMemory(CUDA)
    memory.check()
    assert (memory.asleep(), list(memory.discardable())) == ((), [])
