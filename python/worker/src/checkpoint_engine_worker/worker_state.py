"""What a worker knows of its own weights, for those that ask it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from checkpoint_engine_worker.version import PROTOCOL_VERSION, __version__

if TYPE_CHECKING:
    from checkpoint_engine_worker.errors import CheckpointEngineError
    from checkpoint_engine_worker.session import ReceivedUpdate


class WorkerState:
    """`initial`: the engine's own weights. `updating`. `loaded`. `unknown`: an update ended in its middle."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._weights = "initial"
        self._fields: dict[str, Any] = {}

    @property
    def weights(self) -> str:
        """The state's name."""
        with self._lock:
            return self._weights

    def updating(self) -> None:
        """An update begins. What the model holds is only known when it has succeeded."""
        with self._lock:
            self._weights = "updating"

    def loaded(self, update: ReceivedUpdate) -> None:
        """The model holds a whole checkpoint."""
        self._set("loaded", {"checkpoint": update.checkpoint, "updateId": update.update_id})

    def restore(self, before: str) -> None:
        """A session ended that left the weights as they were."""
        with self._lock:
            self._weights = before

    def failed(self, error: CheckpointEngineError, *, is_touched: bool, before: str) -> None:
        """An update failed.

        Args:
            error: Why.
            is_touched: The model was written to.
            before: The state before the update.
        """
        self._set("unknown" if is_touched else before, {"error": {"code": error.code, "message": error.what}})

    def describe(self) -> dict[str, Any]:
        """Plain data."""
        with self._lock:
            return {
                "package": "checkpoint-engine-worker",
                "version": __version__,
                "protocols": [PROTOCOL_VERSION],
                "weights": self._weights,
                **self._fields,
            }

    def _set(self, weights: str, fields: dict[str, Any]) -> None:
        with self._lock:
            self._weights, self._fields = weights, fields
