"""Tracks the memory that vLLM's sleep mode has released.

A sleeping engine has released the memory behind the addresses of its parameters: an access ends the process. Level 1
of `/sleep` keeps a copy of the weights in host memory, level 2 discards them. `/wake_up` maps memory at the same
addresses. After level 2 it holds arbitrary bytes, except for the buffers of the model, which vLLM saves and restores.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from typing import Any

from checkpoint_engine_worker.errors import CheckpointEngineError
from checkpoint_engine_worker.weight_memory import WeightMemory

_LOG = logging.getLogger(__name__)

#: The tag of the memory that vLLM allocates while it loads its models.
WEIGHTS = "weights"

_discards = 0


def watch_sleep() -> None:
    """Counts the discards of weights from now on. Call it before the engine can sleep. Idempotent."""
    allocator = _allocator_class()
    for name in ("sleep", "discard"):
        method = getattr(allocator, name, None)
        if callable(method) and not hasattr(method, "_checkpoint_engine_watches"):
            setattr(allocator, name, _watched(method))


class VllmMemory(WeightMemory):
    """The memory of one worker of vLLM.

    Args:
        device: The worker's device. Sleep mode releases memory only on CUDA devices.
    """

    def __init__(self, device: Any) -> None:
        self._may_sleep = device.type == "cuda"
        if self._may_sleep:
            watch_sleep()

    def check(self) -> None:
        """Raises `CheckpointEngineError` (`CE_ENGINE_FAILED`) while the weights have no memory."""
        if WEIGHTS in self.asleep():
            raise CheckpointEngineError(
                "CE_ENGINE_FAILED",
                "The engine sleeps: its weights have no memory to load into",
                "POST /wake_up?tags=weights to the engine, and run the update again",
            )

    def asleep(self) -> tuple[str, ...]:
        """The tags of vLLM's allocator whose memory is released."""
        return tuple(sorted({block.tag for block in self._blocks() if getattr(block, "is_asleep", False)}))

    def discards(self) -> int:
        """How often vLLM has discarded its weights in this process."""
        return _discards if self._may_sleep else 0

    def discardable(self) -> Sequence[tuple[int, int]]:
        """The blocks of the weights."""
        # A handle is (device, size, address, handle of the driver).
        blocks = [block.handle for block in self._blocks() if block.tag == WEIGHTS]
        return sorted((int(handle[2]), int(handle[2]) + int(handle[1])) for handle in blocks)

    def _blocks(self) -> list[Any]:
        return _blocks_of(getattr(_allocator_class(), "instance", None)) if self._may_sleep else []


def _blocks_of(allocator: Any) -> list[Any]:
    return list(allocator.pointer_to_data.values()) if allocator is not None else []


def _watched(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def watched(self: Any, *args: Any, **named: Any) -> Any:
        try:
            return method(self, *args, **named)
        finally:
            _notice(self)

    watched._checkpoint_engine_watches = True  # type: ignore[attr-defined]
    return watched


def _notice(allocator: Any) -> None:
    global _discards
    weights = [block for block in _blocks_of(allocator) if block.tag == WEIGHTS and getattr(block, "is_asleep", False)]
    if any(block.cpu_backup_tensor is None for block in weights):
        _discards += 1
        _LOG.info("The engine has discarded its weights: they are unknown until the next update")


def _allocator_class() -> Any:
    try:
        from vllm.device_allocator.cumem import CuMemAllocator
    except Exception as error:
        _LOG.debug("vLLM has no allocator that sleeps here: %s", error)
        return None
    return CuMemAllocator
