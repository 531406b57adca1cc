"""The state of a worker's weights, for callers that query it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from checkpoint_engine_worker.protocol.weight_version import UNKNOWN_VERSION
from checkpoint_engine_worker.version import PROTOCOL_VERSION, __version__

if TYPE_CHECKING:
    from checkpoint_engine_worker.errors import CheckpointEngineError
    from checkpoint_engine_worker.session.update_session import ReceivedUpdate


class WorkerState:
    """`initial`: the engine's own weights. `updating`. `loaded`. `unknown`: an update ended early, or the
    engine has discarded its weights since the last one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._weights = "initial"
        self._held: dict[str, Any] = {}
        self._error: dict[str, Any] = {}

    @property
    def weights(self) -> str:
        """The state's name."""
        with self._lock:
            return self._weights

    @property
    def version(self) -> str:
        """Version of the weights; `unknown` unless the parameter server has confirmed it since the last write."""
        with self._lock:
            return self._version()

    def updating(self) -> None:
        """Begins an update. The weights are known only after it has succeeded."""
        with self._lock:
            self._weights = "updating"

    def loaded(self, update: ReceivedUpdate) -> None:
        """Records that the model has a complete checkpoint."""
        held = {"checkpoint": update.checkpoint, "updateId": update.update_id}
        self._set("loaded", {**held, "version": update.version}, {})

    def forget_version(self) -> None:
        """Records that other code writes to the model."""
        with self._lock:
            self._held = {name: value for name, value in self._held.items() if name != "version"}

    def restore(self, before: str) -> None:
        """Records the end of a session that did not change the weights."""
        with self._lock:
            self._weights = before

    def failed(self, error: CheckpointEngineError, *, is_touched: bool, before: str) -> None:
        """Records that an update failed.

        Args:
            error: The reason.
            is_touched: Whether the model was written to.
            before: The state before the update.
        """
        about = {"error": {"code": error.code, "message": error.what}}
        # Weights that were not written to are unchanged.
        self._set("unknown" if is_touched else before, {} if is_touched else self._held, about)

    def discarded(self) -> None:
        """Records that the engine has discarded its weights: the content of the model is then arbitrary."""
        message = "The engine discarded its weights, as its sleep mode does on level 2"
        self._set("unknown", {}, {"error": {"code": "CE_ENGINE_FAILED", "message": message}})

    def describe(self) -> dict[str, Any]:
        """Returns plain data."""
        with self._lock:
            held: dict[str, Any] = {name: self._held[name] for name in ("checkpoint", "updateId") if name in self._held}
            return {
                "package": "checkpoint-engine-worker",
                "version": __version__,
                "protocols": [PROTOCOL_VERSION],
                "weights": self._weights,
                "weightVersion": self._version(),
                **held,
                **self._error,
            }

    def _version(self) -> str:
        version = self._held.get("version") if self._weights == "loaded" else None
        return version if isinstance(version, str) else UNKNOWN_VERSION

    def _set(self, weights: str, held: dict[str, Any], error: dict[str, Any]) -> None:
        with self._lock:
            self._weights, self._held, self._error = weights, held, error
