"""A parameter server for tests: it listens on an abstract socket and sends valid or invalid frames."""

from __future__ import annotations

import os
import secrets
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any

from checkpoint_engine_worker.protocol import codec

KEY = "0123456789abcdef" * 4


class Connection:
    """The server's end of a connection."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.socket.settimeout(60)

    def receive(self) -> dict[str, Any] | None:
        """Returns the next message; `None` when the worker has disconnected."""
        header = self._exactly(4)
        if header is None:
            return None
        payload = self._exactly(struct.unpack("<I", header)[0])
        assert payload is not None
        message: dict[str, Any] = codec.decode(payload)
        return message

    def send(self, message: dict[str, Any]) -> None:
        """Sends a message as a frame."""
        payload = codec.encode(message)
        self.socket.sendall(struct.pack("<I", len(payload)) + payload)

    def _exactly(self, size: int) -> bytes | None:
        held = b""
        while len(held) < size:
            chunk = self.socket.recv(size - len(held))
            if not chunk:
                return None
            held += chunk
        return held


class FakeServer:
    """Runs a script with the first worker that connects."""

    def __init__(self, script: Callable[[Connection], None]) -> None:
        name = f"ce2-test-{os.getpid()}-{secrets.token_hex(8)}"
        self.address = f"ce2:{name}?key={KEY}"
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(b"\0" + name.encode())
        self._listener.listen()
        self._listener.settimeout(60)
        self._script = script
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> FakeServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(60)
        self._listener.close()
        assert not self._thread.is_alive(), "the script of the server has not ended"
        if self.failure:
            raise self.failure

    def _run(self) -> None:
        try:
            connected, _ = self._listener.accept()
            with connected:
                self._script(Connection(connected))
        except BaseException as error:
            self.failure = error


def welcome(**fields: object) -> dict[str, Any]:
    """Returns a welcome with these fields in place of its defaults."""
    return {
        "type": "welcome",
        "protocol": 2,
        "checkpoint": "step-100",
        "updateId": "step-100:7",
        "rank": 0,
        "deviceKind": "host",
        "deviceUuid": "HOST-test-0",
        "handle": b"",
        "sizeBytes": 0,
        "slots": 2,
        "bufferStays": False,
        **fields,
    }
