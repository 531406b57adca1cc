"""The memory that an engine keeps its weights in. Some engines take it from the weights for a while. No torch."""

from __future__ import annotations

from collections.abc import Sequence


class WeightMemory:
    """Memory that stays as it is. An engine that can take it away has a subclass."""

    def check(self) -> None:
        """Raises `CheckpointEngineError` (`CE_ENGINE_FAILED`) while the weights have no memory."""

    def asleep(self) -> tuple[str, ...]:
        """The parts of the engine that have no memory now, by the names that the engine has for them."""
        return ()

    def discards(self) -> int:
        """How often the engine has discarded its weights since the process started."""
        return 0

    def discardable(self) -> Sequence[tuple[int, int]]:
        """First address and end of each block that the engine may discard, in order."""
        return ()
