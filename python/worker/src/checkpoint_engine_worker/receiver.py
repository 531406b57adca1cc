"""Receives updates for one worker of an engine, one at a time."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from checkpoint_engine_worker.errors import CheckpointEngineError
from checkpoint_engine_worker.memory.shared_buffer import BufferKeeper
from checkpoint_engine_worker.session.device import choose_device
from checkpoint_engine_worker.session.update_session import DEFAULT_TIMEOUT_S, ReceivedUpdate, UpdateSession
from checkpoint_engine_worker.session.worker_state import WorkerState
from checkpoint_engine_worker.weight_memory import WeightMemory

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from checkpoint_engine_worker.pull.engine_puller import EnginePuller
    from checkpoint_engine_worker.target import WeightTarget

_LOG = logging.getLogger(__name__)

#: Time limit of a report, because the server waits for it.
_REPORT_TIMEOUT_S = 30.0


class Receiver:
    """The state of a worker between updates: the mapping of the buffer, and the state of its weights."""

    def __init__(self, device: torch.device, local_rank: int = 0, memory: WeightMemory | None = None) -> None:
        self._device = device
        self._local_rank = local_rank
        self._buffers = BufferKeeper()
        self._state = WorkerState()
        self._turn = threading.Lock()
        self._memory = memory or WeightMemory()
        self._discards_seen = 0

    def describe(self) -> dict[str, Any]:
        """Returns plain data: the package, the protocols that it uses, and the state of the weights."""
        self._notice_discards()
        asleep = self._memory.asleep()
        return {**self._state.describe(), **({"asleep": list(asleep)} if asleep else {})}

    def check_awake(self) -> None:
        """Raises `CheckpointEngineError` (`CE_ENGINE_FAILED`) while the weights have no memory."""
        self._memory.check()

    def report(self, address: str, puller: EnginePuller | None = None) -> None:
        """Sends the result of `describe`, and the decisions for the modules of the model, to a server.

        Args:
            address: The address of the server.
            puller: See `receive`.

        Raises:
            CheckpointEngineError: The server cannot be reached.
        """
        from checkpoint_engine_worker.session.report_session import report

        report(address, self.describe(), puller, _REPORT_TIMEOUT_S)

    def forget_version(self) -> None:
        """Clears the version. Call this before other code writes to the model."""
        self._state.forget_version()

    def receive(
        self,
        handles: Mapping[str, str],
        target: WeightTarget,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        puller: EnginePuller | None = None,
    ) -> ReceivedUpdate:
        """Receives one update into a model.

        Args:
            handles: The addresses of the engine's workers by device UUID.
            target: The model.
            timeout_s: Bounds each wait for the parameter server.
            puller: Copies directly into the model, if the parameter server shares its memory.

        Raises:
            CheckpointEngineError: The error that ended the update. The parameter server receives it as well.
        """
        if not self._turn.acquire(blocking=False):
            raise CheckpointEngineError(
                "CE_WORKER_FAILED",
                "Another update of this worker is running",
                "Wait for it to end, and run the update again",
            )
        try:
            return self._receive(handles, target, timeout_s, puller)
        finally:
            self._turn.release()

    def _notice_discards(self) -> None:
        discards = self._memory.discards()
        if discards != self._discards_seen:
            self._discards_seen = discards
            self._state.discarded()

    def close(self) -> None:
        """Unmaps memory that is kept for the next update. Idempotent."""
        self._buffers.close()

    def _receive(
        self, handles: Mapping[str, str], target: WeightTarget, timeout_s: float, puller: EnginePuller | None
    ) -> ReceivedUpdate:
        self._memory.check()
        known = self.describe()
        uuid = choose_device(handles, self._device, self._local_rank)
        session = UpdateSession(
            handles[uuid],
            device_uuid=uuid,
            device=self._device,
            target=target,
            buffers=self._buffers,
            timeout_s=timeout_s,
            puller=puller,
            state=known,
        )
        before = known["weights"]
        self._state.updating()
        try:
            update = session.run()
        except BaseException as error:
            failure = error if isinstance(error, CheckpointEngineError) else _interrupted(error)
            self._state.failed(failure, is_touched=session.is_touched, before=before)
            after = "unknown: run the update again" if session.is_touched else f"still {before}"
            _LOG.error("The update failed (%s); the weights are %s", failure, after)
            raise
        if not update.is_loaded:
            self._state.restore(before)
            return update
        self._state.loaded(update)
        _LOG.info(
            "Received %s, version %s: %d tensors, %.2f GB in %d buckets, %.3f s",
            update.checkpoint,
            self._state.version,
            update.tensors,
            update.size_bytes / 1e9,
            update.buckets,
            update.duration_s,
        )
        return update


def _interrupted(error: BaseException) -> CheckpointEngineError:
    return CheckpointEngineError("CE_ABORTED", f"{type(error).__name__}: {error}", "Run the update again")
