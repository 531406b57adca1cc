"""Tells which bytes of a checkpoint an engine holds, by digests of its parameters."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from checkpoint_engine_worker.copying.copier import copier_for
from checkpoint_engine_worker.errors import CheckpointEngineError
from checkpoint_engine_worker.weight_memory import WeightMemory

if TYPE_CHECKING:
    from checkpoint_engine_worker.digest import Uint64s
    from checkpoint_engine_worker.pull.held_digests import HeldIndex
    from checkpoint_engine_worker.pull_types import Int64s, Windows
    from checkpoint_engine_worker.recording.recording import Recording

_LOG = logging.getLogger(__name__)


class HeldWeights:
    """The weights of one engine, as far as a proved recording describes them.

    Args:
        memory: The memory of the engine's weights.
        device: Returns the current device of the engine.
    """

    def __init__(self, memory: WeightMemory, device: Callable[[], Any]) -> None:
        self._memory = memory
        self._device = device
        #: Locations of the engine's data. Created again when the decisions about a recording change.
        self._index: HeldIndex | None = None

    def check(self, recording: Recording | None) -> None:
        """Raises `CheckpointEngineError` if it is unknown which bytes of a checkpoint the engine holds.

        Raises:
            CheckpointEngineError: `CE_NOT_SUPPORTED`, or the engine's own error if its weights cannot be read now.
        """
        self._memory.check()
        if recording is None:
            raise CheckpointEngineError(
                "CE_NOT_SUPPORTED",
                "The engine has received no update through its receiver since it started, "
                "so it does not know which bytes of a checkpoint it holds",
                "Update the engine once with this checkpoint; after that it can be verified",
            )
        if not recording.proved:
            raise CheckpointEngineError(
                "CE_NOT_SUPPORTED",
                "No parameter of the engine is known to have the form of the checkpoint: the receiver has finished no "
                "update since it started, or all parameters have another form",
                "Update the engine once; if that does not help, checkpoint-engine doctor --engine reports the decision "
                "for each module",
            )

    def prepare(self, recording: Recording) -> None:
        """Finds the locations of the engine's data now, so that a request for digests does not wait for it."""
        self._indexed(recording)

    def digests(self, recording: Recording | None, windows: Windows) -> tuple[Uint64s, Int64s]:
        """Digests the bytes of windows that the engine holds unchanged.

        Returns:
            By window, the digest and the number of these bytes.
        """
        nothing = np.zeros(len(windows.tensor), dtype=np.uint64), np.zeros(len(windows.tensor), dtype=np.int64)
        if recording is None or not recording.proved:
            return nothing
        self._memory.check()
        try:
            return self._indexed(recording).digests(windows)
        except CheckpointEngineError as error:
            if error.code != "CE_NOT_SUPPORTED":
                raise
            _LOG.warning("The engine's weights are not verified: %s", error)
            return nothing

    def forget(self) -> None:
        """Drops the locations. Idempotent."""
        self._index = None

    def _indexed(self, recording: Recording) -> HeldIndex:
        from checkpoint_engine_worker.pull.held_digests import HeldIndex

        if self._index is None:
            self._index = HeldIndex(recording, copier_for(self._device()))
        return self._index
