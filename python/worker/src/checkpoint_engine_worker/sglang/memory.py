"""Tracks the memory that SGLang has released.

`POST /release_memory_occupation` unmaps the memory behind the addresses of the parameters: an access ends the process.
`POST /resume_memory_occupation` maps memory at the same addresses. Unless SGLang keeps a copy of the weights
(`--enable-weights-cpu-backup`), it then holds arbitrary bytes.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from typing import Any

from checkpoint_engine_worker.errors import CheckpointEngineError
from checkpoint_engine_worker.weight_memory import WeightMemory

WEIGHTS = "weights"
#: The tags that SGLang releases if a request has none.
_ALL = ("kv_cache", WEIGHTS, "cuda_graph")


class SglangMemory(WeightMemory):
    """The memory of one scheduler process, and so of all of its runners."""

    def __init__(self) -> None:
        self._asleep: set[str] = set()
        self._discards = 0

    def check(self) -> None:
        """Raises `CheckpointEngineError` (`CE_ENGINE_FAILED`) while the weights have no memory."""
        if WEIGHTS in self._asleep:
            raise CheckpointEngineError(
                "CE_ENGINE_FAILED",
                "The engine has released its weights: they have no memory to load into",
                'POST /resume_memory_occupation with {"tags": ["weights"]} to the engine, and run the update again',
            )

    def asleep(self) -> tuple[str, ...]:
        """The tags whose memory is released."""
        return tuple(sorted(self._asleep))

    def discards(self) -> int:
        """How often SGLang has released its weights without a copy."""
        return self._discards

    def released(self, tags: Iterable[str], *, has_copy: bool) -> None:
        """Records that memory was released."""
        if WEIGHTS in tags and WEIGHTS not in self._asleep and not has_copy:
            self._discards += 1
        self._asleep |= set(tags)

    def resumed(self, tags: Iterable[str]) -> None:
        """Records that memory was mapped again."""
        self._asleep -= set(tags)


MEMORY = SglangMemory()


def release_memory_occupation(original: Callable[..., Any], manager: Any, recv_req: Any) -> Any:
    """Records which memory SGLang releases, even if the release fails in the middle."""
    tags = tuple(recv_req.tags or _ALL)
    try:
        return original(manager, recv_req)
    finally:
        # Without torch-memory-saver, SGLang releases nothing. It records the tags before it releases them.
        if getattr(getattr(manager, "memory_saver_adapter", None), "enabled", True):
            noted = getattr(manager, "offload_tags", tags)
            MEMORY.released([tag for tag in tags if tag in noted], has_copy=_keeps_copy())


def resume_memory_occupation(original: Callable[..., Any], manager: Any, recv_req: Any) -> Any:
    """Records which memory SGLang maps again."""
    output = original(manager, recv_req)
    MEMORY.resumed(tuple(recv_req.tags or _ALL))
    return output


def _keeps_copy() -> bool:
    """Returns whether SGLang copies released weights to host memory. Unknown counts as no."""
    try:
        context = importlib.import_module("sglang.srt.runtime_context")
        return bool(context.get_exec().features.enable_weights_cpu_backup)
    except Exception:
        return False
