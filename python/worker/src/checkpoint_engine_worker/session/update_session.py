"""One update of one device, from the key to the end of the post-load hook."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from checkpoint_engine_worker.errors import CheckpointEngineError
from checkpoint_engine_worker.protocol.address import parse_address
from checkpoint_engine_worker.protocol.messages import (
    Welcome,
    message_type,
    read_bucket,
    read_confirm,
    read_welcome,
    unexpected,
)
from checkpoint_engine_worker.protocol.server_link import ServerLink, as_worker_error
from checkpoint_engine_worker.protocol.weight_version import UNKNOWN_VERSION
from checkpoint_engine_worker.tensors.dtypes import view_tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import torch

    from checkpoint_engine_worker.memory.shared_buffer import BufferKeeper, SharedBuffer
    from checkpoint_engine_worker.protocol.messages import Bucket
    from checkpoint_engine_worker.pull.engine_puller import EnginePuller
    from checkpoint_engine_worker.session.pull_session import PullSession
    from checkpoint_engine_worker.target import WeightTarget

_LOG = logging.getLogger(__name__)

DEFAULT_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class ReceivedUpdate:
    """The result of a session."""

    checkpoint: str
    update_id: str
    #: Whether the model has the checkpoint. A session may also only prepare an update.
    is_loaded: bool
    buckets: int
    tensors: int
    size_bytes: int
    duration_s: float
    #: Version of the weights, if the server confirmed that the workers of all ranks have finished.
    version: str | None = None


class UpdateSession:
    """Handles the server's messages until the update ends.

    Each type of message has one handler. A method that moves data differently adds handlers for its own types and
    more fields for the hello.
    """

    def __init__(
        self,
        address: str,
        *,
        device_uuid: str,
        device: torch.device,
        target: WeightTarget,
        buffers: BufferKeeper,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        max_buckets: int | None = None,
        puller: EnginePuller | None = None,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        self._address = parse_address(address)
        self._device_uuid = device_uuid
        self._device = device
        self._target = target
        self._buffers = buffers
        self._timeout_s = timeout_s
        self._max_buckets = max_buckets
        self._link: ServerLink | None = None
        self._welcome: Welcome | None = None
        self._buffer: SharedBuffer | None = None
        self._is_touched = False
        self._has_begun = False
        self._is_link_held = False
        self._checkpoint = ""
        self._update_id = ""
        self._is_finished = False
        #: Whether the server confirms the version after the workers of all ranks have finished.
        self._awaits_confirm = False
        self._version: str | None = None
        self._phase = "greeting"
        self._bucket_count = 0
        self._tensor_count = 0
        self._size_bytes = 0
        #: The state of the worker's weights before the session.
        self.state = state or {}
        self.offers: dict[str, Any] = {"holds": self.state.get("weightVersion", UNKNOWN_VERSION)}
        self.handlers: dict[str, Callable[[dict[str, Any]], None]] = {
            "welcome": self._on_welcome,
            "bucket": self._on_bucket,
            "release": self._on_release,
            "finish": self._on_finish,
            "confirm": self._on_confirm,
        }
        self._pull = _pull_session(self, puller)

    @property
    def link(self) -> ServerLink:
        """The connection, while the session runs."""
        if self._link is None:
            raise RuntimeError("The session is not connected")
        return self._link

    @property
    def is_touched(self) -> bool:
        """Whether the model was written to: its weights are unknown until the session has succeeded."""
        return self._is_touched

    def run(self) -> ReceivedUpdate:
        """Receives the update.

        Raises:
            CheckpointEngineError: The error that ended it. The server receives errors of this side. The model can run
            and take the next update, but its weights are partly old and partly new if `is_touched`.
        """
        started_at = time.monotonic()
        self._link = ServerLink.connect(self._address, self._timeout_s, self.offers)
        try:
            while self._phase != "over":
                message = self._link.receive()
                self._handle(message)
        except BaseException as error:
            failure = self._link.failure or as_worker_error(error)
            self._abandon(failure)
            if isinstance(error, Exception):
                raise failure from (error if failure is not error else failure.__cause__)
            raise
        finally:
            if not self._is_link_held:
                self._link.close()
        return ReceivedUpdate(
            checkpoint=self._checkpoint,
            update_id=self._update_id,
            is_loaded=self._is_finished,
            buckets=self._bucket_count,
            tensors=self._tensor_count,
            size_bytes=self._size_bytes,
            duration_s=time.monotonic() - started_at,
            version=self._version,
        )

    def touch(self) -> None:
        """Marks the model before the first write to it."""
        self._is_touched = True

    def count_bytes(self, size_bytes: int) -> None:
        """Counts bytes that arrived outside of buckets."""
        self._size_bytes += size_bytes

    def name_update(self, checkpoint: str, update_id: str) -> None:
        """The checkpoint of the session, for reports."""
        self._checkpoint, self._update_id = checkpoint, update_id

    def check_device(self, uuid: str) -> None:
        """Raises `CheckpointEngineError` (`CE_ENGINE_MISMATCH`) if the address is for another device."""
        if uuid == self._device_uuid:
            return
        raise CheckpointEngineError(
            "CE_ENGINE_MISMATCH",
            f'The address is for device "{uuid}", this worker runs on "{self._device_uuid}"',
            "Give each worker the address that was made for the UUID of its device",
        )

    def end(self) -> None:
        """Ends the session after the server's last message."""
        if self._phase not in ("greeting", "finished") or self._awaits_confirm:
            raise unexpected("bye")
        self._phase = "over"

    def hold_link(self) -> ServerLink:
        """Ends the session, and leaves its connection open to the caller."""
        self.end()
        self._is_link_held = True
        return self.link

    def _begin_loading(self) -> None:
        """Prepares the model, once."""
        if self._has_begun:
            return
        if self._pull:
            self._pull.watch_load()
        self._has_begun = True
        self.touch()
        self._target.begin()

    def _handle(self, message: dict[str, Any]) -> None:
        kind = message_type(message)
        handler = self.handlers.get(kind)
        if handler is None:
            raise unexpected(kind)
        handler(message)

    def _on_welcome(self, message: dict[str, Any]) -> None:
        if self._phase != "greeting":
            raise unexpected("welcome")
        welcome = read_welcome(message)
        self.check_device(welcome.device_uuid)
        self.name_update(welcome.checkpoint, welcome.update_id)
        self._welcome = welcome
        self._buffer = self._buffers.open(welcome, self._device)
        self.link.max_unread = min(self._max_buckets or welcome.slots, welcome.slots)
        self._phase = "loading"
        self.link.send({"type": "ready", "credits": self.link.max_unread})

    def _on_bucket(self, message: dict[str, Any]) -> None:
        if self._phase != "loading" or self._buffer is None:
            raise unexpected("bucket")
        bucket = read_bucket(message, self._buffer.tensor.numel())
        self._begin_loading()
        self._target.load(self._views(bucket, self._buffer.tensor))
        self._bucket_count += 1
        self.link.send({"type": "ack", "index": bucket.index})

    def _views(self, bucket: Bucket, buffer: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
        for place in bucket.tensors:
            # An abort ends the loading here, because the server is about to free its buffer.
            self.link.check()
            tensor = view_tensor(buffer, place.name, place.dtype, place.shape, place.offset_bytes)
            if tensor.nbytes != place.size_bytes:
                raise unexpected(f"bucket with {place.size_bytes} bytes of {place.name}"[:40])
            self._tensor_count += 1
            self._size_bytes += place.size_bytes
            yield place.name, tensor

    def _on_release(self, _: dict[str, Any]) -> None:
        if self._phase != "loading":
            raise unexpected("release")
        self._end_buffer(is_sound=True)
        self._phase = "released"
        self.link.send({"type": "released"})

    def _on_finish(self, message: dict[str, Any]) -> None:
        is_surveyed = self._pull is not None and self._pull.is_surveyed
        # If all bytes were pulled, there was no buffer to release.
        if self._phase != "released" and not (is_surveyed and self._phase == "greeting"):
            raise unexpected("finish")
        if self._has_begun:
            self._target.finish()
        if self._pull:
            self._pull.finish()
        self._is_finished = True
        self._awaits_confirm = message.get("confirms") is True
        self._phase = "finished" if is_surveyed or self._awaits_confirm else "over"
        self.link.send({"type": "finished"})

    def _on_confirm(self, message: dict[str, Any]) -> None:
        """Handles the confirmation that the workers of all ranks have finished."""
        if not self._awaits_confirm:
            raise unexpected("confirm")
        self._version = read_confirm(message)
        self._awaits_confirm = False
        if self._pull is None or not self._pull.is_surveyed:
            self._phase = "over"
        self.link.send({"type": "confirmed"})

    def _end_buffer(self, *, is_sound: bool) -> None:
        buffer, self._buffer = self._buffer, None
        if buffer and self._welcome:
            self._buffers.end(buffer, self._welcome, is_sound=is_sound)

    def _abandon(self, failure: CheckpointEngineError) -> None:
        """Makes the model usable, unmaps the buffer, and then disconnects."""
        try:
            # A model that has finished loading can run: the engine owns its memory again.
            if self._is_touched and not self._is_finished:
                self._target.abort()
        except Exception:
            _LOG.exception("The model could not be restored after an update that failed: restart the engine")
        try:
            self._end_buffer(is_sound=False)
        except Exception:
            _LOG.exception("The shared buffer could not be unmapped")
        self.link.fail(failure)
        if self._pull:
            self._pull.abandon(self.link)


def _pull_session(session: UpdateSession, puller: EnginePuller | None) -> PullSession | None:
    if puller is None:
        return None
    from checkpoint_engine_worker.session.pull_session import PullSession

    return PullSession(session, puller)
