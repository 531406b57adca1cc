"""The memory of an engine's weights, which some engines release for a while. Does not import torch."""

from __future__ import annotations

from collections.abc import Sequence


class WeightMemory:
    """Memory that is never released. Engines that can release it have a subclass."""

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
