"""Frames of worker protocol 2: the payload's size (u32, little-endian), then the payload."""

from __future__ import annotations

import struct
from typing import Any

from checkpoint_engine_worker.protocol import codec

#: Maximum payload that a worker reads, in bytes. Equal to `WORKER_FRAME_LIMITS.fromServer`.
LIMIT_FROM_SERVER_BYTES = 32 * 1024 * 1024
#: Maximum payload that a server reads from its worker, in bytes. Equal to `WORKER_FRAME_LIMITS.fromWorker`.
LIMIT_FROM_WORKER_BYTES = 1024 * 1024

_SIZE = struct.Struct("<I")


def encode_frame(message: dict[str, Any], limit_bytes: int = LIMIT_FROM_WORKER_BYTES) -> bytes:
    """Encodes one message as a frame.

    Raises:
        ValueError: The payload is larger than the other side accepts.
    """
    payload = codec.encode(message)
    if len(payload) > limit_bytes:
        raise ValueError(f"A {message.get('type')} message has {len(payload)} bytes, the server accepts {limit_bytes}")
    return _SIZE.pack(len(payload)) + payload


class FrameReader:
    """Cuts a byte stream into messages. It allocates memory for received bytes, never for an announced size."""

    def __init__(self, limit_bytes: int = LIMIT_FROM_SERVER_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._held = bytearray()

    def push(self, chunk: bytes | memoryview) -> None:
        """Appends received bytes."""
        self._held += chunk

    def next(self) -> dict[str, Any] | None:
        """Returns the next complete message, or `None` until more bytes arrive.

        Raises:
            ValueError: The frame is too large, or is not a map in MessagePack.
        """
        held = self._held
        if len(held) < _SIZE.size:
            return None
        (size_bytes,) = _SIZE.unpack_from(held)
        if size_bytes > self._limit_bytes:
            raise ValueError(f"a frame of {size_bytes} bytes, at most {self._limit_bytes} are accepted")
        end = _SIZE.size + size_bytes
        if len(held) < end:
            return None
        payload = bytes(memoryview(held)[_SIZE.size : end])
        del held[:end]
        message = codec.decode(payload)
        if not isinstance(message, dict):
            raise ValueError("a frame that is not a map")
        return message
