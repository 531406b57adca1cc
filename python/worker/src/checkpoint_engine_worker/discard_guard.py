"""Keeps pulls complete where an engine discards its weights and takes them again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from checkpoint_engine_worker.weight_memory import WeightMemory

if TYPE_CHECKING:
    from checkpoint_engine_worker.engine import Engine
    from checkpoint_engine_worker.recording import Recording
    from checkpoint_engine_worker.unpulled_values import UnpulledValues

_LOG = logging.getLogger(__name__)


class DiscardGuard:
    """Of one engine.

    Args:
        memory: What the engine keeps its weights in.
        is_refreshed: Whether the engine's hooks compute again what a module derives from weights.
    """

    def __init__(self, memory: WeightMemory, is_refreshed: Callable[[Any], bool]) -> None:
        self._memory = memory
        self._is_refreshed = is_refreshed
        #: The number of discards when what no pull writes was last in place.
        self._restored_after = 0
        self._unpulled: UnpulledValues | None = None

    def keep(self, engine: Engine, recording: Recording) -> None:
        """Keeps what no pull writes. The recording was just proved."""
        from checkpoint_engine_worker.unpulled_values import UnpulledValues

        self._restored_after = self._memory.discards()
        self._unpulled = UnpulledValues(engine, recording, self._memory.discardable(), self._is_refreshed)

    def restore(self) -> bool:
        """Writes back what no pull writes, if it was discarded. Returns whether pulls are complete then."""
        discards = self._memory.discards()
        if discards == self._restored_after:
            return True
        if self._unpulled is None or not self._unpulled.is_complete:
            _LOG.info("The engine loads everything: it discarded its weights, and parts that no update writes")
            return False
        self._unpulled.restore()
        self._restored_after = discards
        return True

    def forget(self) -> None:
        """The engine is recorded again. Idempotent."""
        self._unpulled = None
