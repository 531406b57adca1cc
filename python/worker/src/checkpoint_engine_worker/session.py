"""One update of one device, from the key to the end of the post-load hook."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from checkpoint_engine_worker.address import parse_address
from checkpoint_engine_worker.dtypes import view_tensor
from checkpoint_engine_worker.errors import CheckpointEngineError
from checkpoint_engine_worker.messages import Welcome, message_type, read_bucket, read_welcome, unexpected
from checkpoint_engine_worker.server_link import ServerLink, as_worker_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import torch

    from checkpoint_engine_worker.messages import Bucket
    from checkpoint_engine_worker.shared_buffer import BufferKeeper, SharedBuffer
    from checkpoint_engine_worker.target import WeightTarget

_LOG = logging.getLogger(__name__)

DEFAULT_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class ReceivedUpdate:
    """What came in."""

    checkpoint: str
    update_id: str
    buckets: int
    tensors: int
    size_bytes: int
    duration_s: float


class UpdateSession:
    """Follows the server's messages until the update is over.

    Each type of message has one handler. A strategy that moves bytes in another way adds handlers of its own types and
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
        most_buckets: int | None = None,
    ) -> None:
        self._address = parse_address(address)
        self._device_uuid = device_uuid
        self._device = device
        self._target = target
        self._buffers = buffers
        self._timeout_s = timeout_s
        self._most_buckets = most_buckets
        self._link: ServerLink | None = None
        self._welcome: Welcome | None = None
        self._buffer: SharedBuffer | None = None
        self._has_begun = False
        self._phase = "greeting"
        self._counts = [0, 0, 0]
        self.offers: dict[str, Any] = {}
        self.handlers: dict[str, Callable[[dict[str, Any]], None]] = {
            "welcome": self._on_welcome,
            "bucket": self._on_bucket,
            "release": self._on_release,
            "finish": self._on_finish,
        }

    @property
    def link(self) -> ServerLink:
        """The connection, while the session runs."""
        if self._link is None:
            raise RuntimeError("The session is not connected")
        return self._link

    @property
    def has_begun(self) -> bool:
        """Whether the model was touched: what it holds is unknown until the session has succeeded."""
        return self._has_begun

    def run(self) -> ReceivedUpdate:
        """Receives the update.

        Raises:
            CheckpointEngineError: What ended it. The server is told of errors of this side. The model can run and take
                the next update, but its weights are partly old and partly new if `has_begun`.
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
            self._link.close()
        welcome, (buckets, tensors, size_bytes) = self._welcome, self._counts
        return ReceivedUpdate(
            checkpoint=welcome.checkpoint if welcome else "",
            update_id=welcome.update_id if welcome else "",
            buckets=buckets,
            tensors=tensors,
            size_bytes=size_bytes,
            duration_s=time.monotonic() - started_at,
        )

    def begin_loading(self) -> None:
        """Prepares the model, once."""
        if not self._has_begun:
            self._has_begun = True
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
        if welcome.device_uuid != self._device_uuid:
            raise CheckpointEngineError(
                "CE_ENGINE_MISMATCH",
                f'The address is for device "{welcome.device_uuid}", this worker runs on "{self._device_uuid}"',
                "Give each worker the address that was made for the UUID of its device",
            )
        self._welcome = welcome
        self._buffer = self._buffers.open(welcome, self._device)
        self.link.most_unread = min(self._most_buckets or welcome.slots, welcome.slots)
        self._phase = "loading"
        self.link.send({"type": "ready", "credits": self.link.most_unread})

    def _on_bucket(self, message: dict[str, Any]) -> None:
        if self._phase != "loading" or self._buffer is None:
            raise unexpected("bucket")
        bucket = read_bucket(message, self._buffer.tensor.numel())
        self.begin_loading()
        self._target.load(self._views(bucket, self._buffer.tensor))
        self._counts[0] += 1
        self.link.send({"type": "ack", "index": bucket.index})

    def _views(self, bucket: Bucket, buffer: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
        for place in bucket.tensors:
            # An abort that has arrived ends the loading here: the server is about to take its buffer back.
            self.link.check()
            tensor = view_tensor(buffer, place.name, place.dtype, place.shape, place.offset_bytes)
            if tensor.nbytes != place.size_bytes:
                raise unexpected(f"bucket with {place.size_bytes} bytes of {place.name}"[:40])
            self._counts[1] += 1
            self._counts[2] += place.size_bytes
            yield place.name, tensor

    def _on_release(self, _: dict[str, Any]) -> None:
        if self._phase != "loading":
            raise unexpected("release")
        self._end_buffer(is_sound=True)
        self._phase = "released"
        self.link.send({"type": "released"})

    def _on_finish(self, _: dict[str, Any]) -> None:
        if self._phase != "released":
            raise unexpected("finish")
        if self._has_begun:
            self._target.finish()
        self._phase = "over"
        self.link.send({"type": "finished"})

    def _end_buffer(self, *, is_sound: bool) -> None:
        buffer, self._buffer = self._buffer, None
        if buffer and self._welcome:
            self._buffers.end(buffer, self._welcome, is_sound=is_sound)

    def _abandon(self, failure: CheckpointEngineError) -> None:
        """Leaves the model usable, unmaps the buffer, and only then hangs up."""
        try:
            if self._has_begun:
                self._target.abort()
        except Exception:
            _LOG.exception("The model could not be restored after an update that failed: restart the engine")
        try:
            self._end_buffer(is_sound=False)
        except Exception:
            _LOG.exception("The shared buffer could not be unmapped")
        self.link.fail(failure)
