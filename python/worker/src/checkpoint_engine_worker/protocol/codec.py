"""MessagePack with the library that the engine has installed. Nothing here reads pickles."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from checkpoint_engine_worker.errors import CheckpointEngineError

if TYPE_CHECKING:
    from collections.abc import Callable


def encode(message: dict[str, Any]) -> bytes:
    """Encodes one message."""
    return _codec()[0](message)


def decode(payload: bytes | bytearray | memoryview) -> Any:
    """Decodes one message.

    Raises:
        ValueError: The bytes are not exactly one MessagePack value.
    """
    try:
        return _codec()[1](payload)
    except CheckpointEngineError:
        raise
    except Exception as error:
        raise ValueError(f"a frame that is not MessagePack ({error})") from error


@cache
def _codec() -> tuple[Callable[[Any], bytes], Callable[[Any], Any]]:
    try:
        import msgspec
    except ImportError:
        return _msgpack()
    return msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder().decode


def _msgpack() -> tuple[Callable[[Any], bytes], Callable[[Any], Any]]:
    try:
        import msgpack
    except ImportError as error:
        raise CheckpointEngineError(
            "CE_PACKAGE_NOT_FOUND",
            "Neither msgspec nor msgpack is installed, and the messages need one of them",
            "Install msgspec next to the engine: pip install 'checkpoint-engine-worker[codec]'",
        ) from error

    def pack(message: Any) -> bytes:
        packed: bytes = msgpack.packb(message, use_bin_type=True)
        return packed

    def unpack(payload: Any) -> Any:
        # `unpackb` bounds every length by the size of the payload.
        return msgpack.unpackb(payload, raw=False, strict_map_key=True)

    return pack, unpack
