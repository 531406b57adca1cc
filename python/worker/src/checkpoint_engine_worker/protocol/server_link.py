"""The connection with the parameter server: messages in order, and the detection of its end."""

from __future__ import annotations

import logging
import os
import select
import socket
import time
import traceback
from typing import Any

from checkpoint_engine_worker.errors import CheckpointEngineError
from checkpoint_engine_worker.protocol.address import WorkerAddress
from checkpoint_engine_worker.protocol.frames import FrameReader, encode_frame
from checkpoint_engine_worker.protocol.messages import message_type, read_abort, server_broke
from checkpoint_engine_worker.version import PROTOCOL_VERSION

_LOG = logging.getLogger(__name__)

_CHUNK_BYTES = 256 * 1024
#: Maximum length of a sent error text in characters, so that an error fits into a frame.
_LONGEST_TEXT = 64 * 1024
#: Time for the server to disconnect after the last message.
_LINGER_S = 5.0


class ServerLink:
    """A connected socket. The first failure ends it: every later call raises that error again."""

    def __init__(self, connected: socket.socket, timeout_s: float) -> None:
        self._socket = connected
        self._timeout_s = timeout_s
        self._reader = FrameReader()
        self._unread: list[dict[str, Any]] = []
        self._failure: CheckpointEngineError | None = None
        self._is_open = True
        #: Maximum number of unread messages. A server that sends more violates the protocol.
        self.max_unread = 2

    @classmethod
    def connect(cls, address: WorkerAddress, timeout_s: float, offers: dict[str, Any] | None = None) -> ServerLink:
        """Connects and sends the key.

        Args:
            address: The server's address.
            timeout_s: Bounds each wait for the server.
            offers: More fields of the hello: the features of this worker.

        Raises:
            CheckpointEngineError: `CE_PEER_UNREACHABLE`.
        """
        connecting = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            connecting.settimeout(timeout_s)
            connecting.connect(b"\0" + address.socket_name.encode())
        except OSError as error:
            connecting.close()
            raise CheckpointEngineError(
                "CE_PEER_UNREACHABLE",
                f'No parameter server listens at the abstract Unix socket "{address.socket_name}": {error}',
                "Check that the update still runs, and that both processes share a network namespace",
            ) from error
        link = cls(connecting, timeout_s)
        hello = {"type": "hello", "protocol": PROTOCOL_VERSION, "key": address.key, "pid": os.getpid()}
        link.send({**hello, **(offers or {})})
        return link

    @property
    def failure(self) -> CheckpointEngineError | None:
        """The error that ended the link."""
        return self._failure

    def receive(self) -> dict[str, Any]:
        """Returns the next message.

        Raises:
            CheckpointEngineError: The error that ended the link: the server's abort, `CE_PEER_LOST`, `CE_TIMEOUT`,
                `CE_WORKER_PROTOCOL`.
        """
        ends_at = time.monotonic() + self._timeout_s
        while True:
            self.check()
            if self._unread:
                return self._unread.pop(0)
            left_s = ends_at - time.monotonic()
            if left_s <= 0 or not self._is_readable(left_s):
                raise self._end(_silence(self._timeout_s))

    def check(self) -> None:
        """Reads received messages without waiting, so that an abort or the server's death is detected at once.

        Raises:
            CheckpointEngineError: As `receive`.
        """
        if self._failure:
            raise self._failure
        try:
            while self._is_open and not self._has_said_bye() and self._is_readable(0):
                self._take(self._read())
        except (ValueError, OSError) as error:
            raise self._end(_broken(error)) from error
        except CheckpointEngineError as error:
            raise self._end(error)  # noqa: B904 - the error is its own
        if self._failure:
            raise self._failure

    def send(self, message: dict[str, Any]) -> None:
        """Sends a message.

        Raises:
            CheckpointEngineError: `CE_PEER_LOST`, `CE_TIMEOUT`, or the error that ended the link before.
        """
        if self._failure:
            raise self._failure
        try:
            self._socket.sendall(encode_frame(message))
        except TimeoutError as error:
            raise self._end(_silence(self._timeout_s)) from error
        except OSError as error:
            # The last message of the server explains more than the closed connection.
            self._drain()
            raise self._end(_lost(error)) from error

    def send_last(self, message: dict[str, Any]) -> None:
        """Sends a message on a link that has failed, if the server still listens."""
        try:
            self._socket.sendall(encode_frame(message))
        except OSError as error:
            _LOG.debug("The last message did not reach the parameter server: %s", error)

    def until_closed(self) -> None:
        """Waits without a limit until the server disconnects, and ignores its messages."""
        try:
            self._socket.settimeout(None)
            while self._socket.recv(_CHUNK_BYTES):
                pass
        except OSError as error:
            _LOG.debug("The connection with the parameter server has ended: %s", error)

    def fail(self, error: BaseException) -> CheckpointEngineError:
        """Ends the link with an error of this side, and notifies the server. The first error wins."""
        if self._failure:
            return self._failure
        own = as_worker_error(error)
        try:
            self._socket.sendall(encode_frame({"type": "error", "error": _to_wire(own)}))
        except OSError as cause:
            _LOG.debug("The parameter server could not be notified of a failure: %s", cause)
        return self._end(own)

    def close(self) -> None:
        """Disconnects, which tells the server that nothing here reads its memory any longer. Idempotent."""
        if not self._is_open:
            return
        self._is_open = False
        try:
            self._socket.shutdown(socket.SHUT_WR)
            self._linger()
        except OSError as error:
            _LOG.debug("The connection with the parameter server ended before it was closed: %s", error)
        finally:
            self._socket.close()

    def _linger(self) -> None:
        """Reads until the server disconnects: a close with unread bytes could discard the last sent bytes."""
        ends_at = time.monotonic() + _LINGER_S
        while (left_s := ends_at - time.monotonic()) > 0 and self._is_readable(left_s):
            if not self._socket.recv(_CHUNK_BYTES):
                return

    def _is_readable(self, timeout_s: float) -> bool:
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(timeout_s * 1000))

    def _has_said_bye(self) -> bool:
        """Returns whether the server's last message is unread: a disconnection after it is not a failure."""
        return bool(self._unread) and self._unread[-1]["type"] == "bye"

    def _read(self) -> bytes:
        chunk = self._socket.recv(_CHUNK_BYTES)
        if not chunk:
            raise _lost()
        return chunk

    def _take(self, chunk: bytes) -> None:
        self._reader.push(chunk)
        while (message := self._reader.next()) is not None:
            kind = message_type(message)
            if kind == "abort":
                raise read_abort(message)
            if len(self._unread) >= self.max_unread:
                raise server_broke(f'"{kind[:40]}" although {self.max_unread} messages are unread')
            self._unread.append(message)

    def _drain(self) -> None:
        try:
            self.check()
        except CheckpointEngineError as error:
            _LOG.debug("The last message of the parameter server: %s", error)

    def _end(self, error: CheckpointEngineError) -> CheckpointEngineError:
        if self._failure is None:
            self._failure = error
            self._unread.clear()
        return self._failure


def as_worker_error(error: BaseException) -> CheckpointEngineError:
    """Converts an exception of the engine's code to the error that ends the update."""
    if isinstance(error, CheckpointEngineError):
        return error
    detail = "".join(traceback.format_exception(error))
    wrapped = CheckpointEngineError(
        "CE_WORKER_FAILED",
        f"{type(error).__name__}: {error}"[:2000],
        "Read the traceback in detail",
        detail=detail,
    )
    wrapped.__cause__ = error
    return wrapped


def _to_wire(error: CheckpointEngineError) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "code": error.code,
        "message": error.what[:_LONGEST_TEXT],
        "hint": error.hint[:_LONGEST_TEXT],
        "retryable": False,
    }
    if error.detail is not None:
        # The end of a traceback has the exception.
        fields["detail"] = error.detail[-_LONGEST_TEXT:]
    return fields


def _lost(cause: BaseException | None = None) -> CheckpointEngineError:
    error = CheckpointEngineError(
        "CE_PEER_LOST",
        "The parameter server closed its connection during the update",
        "Check the log of the parameter server, and run the update again",
    )
    error.__cause__ = cause
    return error


def _broken(error: ValueError | OSError) -> CheckpointEngineError:
    return _lost(error) if isinstance(error, OSError) else server_broke(str(error))


def _silence(timeout_s: float) -> CheckpointEngineError:
    return CheckpointEngineError(
        "CE_TIMEOUT",
        f"The parameter server sent nothing for {timeout_s:g} s",
        "Raise the time-out, or check the log of the parameter server",
    )
