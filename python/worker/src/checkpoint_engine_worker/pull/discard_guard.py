"""Keeps pulls complete on engines that discard their weights and load them again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from checkpoint_engine_worker.weight_memory import WeightMemory

if TYPE_CHECKING:
    from checkpoint_engine_worker.engine import Engine
    from checkpoint_engine_worker.pull.unpulled_values import UnpulledValues
    from checkpoint_engine_worker.recording.recording import Recording

_LOG = logging.getLogger(__name__)


class DiscardGuard:
    """Restores the values that no pull writes after an engine has discarded its weights.

    Args:
        memory: The memory of the engine's weights.
        is_refreshed: Whether the engine's hooks recompute the values that a module derives from weights.
    """

    def __init__(self, memory: WeightMemory, is_refreshed: Callable[[Any], bool]) -> None:
        self._memory = memory
        self._is_refreshed = is_refreshed
        #: The number of discards when the values that no pull writes were last in place.
        self._restored_after = 0
        self._unpulled: UnpulledValues | None = None

    def keep(self, engine: Engine, recording: Recording) -> None:
        """Saves the values that no pull writes. Call it directly after a proof of the recording."""
        from checkpoint_engine_worker.pull.unpulled_values import UnpulledValues

        self._restored_after = self._memory.discards()
        self._unpulled = UnpulledValues(engine, recording, self._memory.discardable(), self._is_refreshed)

    def restore(self) -> bool:
        """Writes back the saved values if they were discarded. Returns whether pulls are complete after that."""
        discards = self._memory.discards()
        if discards == self._restored_after:
            return True
        if self._unpulled is None or not self._unpulled.is_complete:
            _LOG.info("The engine loads the whole checkpoint: it discarded weights that no pull writes")
            return False
        self._unpulled.restore()
        self._restored_after = discards
        return True

    def forget(self) -> None:
        """Drops the saved values, because the engine will be recorded again. Idempotent."""
        self._unpulled = None
