import struct
from typing import Any

import pytest

from checkpoint_engine_worker.protocol import codec
from checkpoint_engine_worker.protocol.frames import LIMIT_FROM_WORKER_BYTES, FrameReader, encode_frame


def test_reads_frames_that_arrive_in_any_pieces() -> None:
    messages: list[dict[str, Any]] = [{"type": "release"}, {"type": "bucket", "index": 3, "handle": b"\x00\xff"}]
    stream = b"".join(encode_frame(message) for message in messages)
    for size in (1, 3, 7, len(stream)):
        reader, read = FrameReader(), []
        for at in range(0, len(stream), size):
            reader.push(stream[at : at + size])
            while (message := reader.next()) is not None:
                read.append(message)
        assert read == messages


@pytest.mark.parametrize(
    ("stream", "why"),
    [
        (struct.pack("<I", 2**32 - 1), "at most"),
        (struct.pack("<I", 32 * 1024 * 1024 + 1), "at most"),
        (struct.pack("<I", 1) + b"\xc1", "MessagePack"),
        (struct.pack("<I", 0), "MessagePack"),
        (struct.pack("<I", 5) + b"\xdd\xff\xff\xff\xff", "MessagePack"),
        (struct.pack("<I", 5) + b"\xdf\x7f\xff\xff\xff", "MessagePack"),
        (struct.pack("<I", 2) + b"\xc0\xc0", "MessagePack"),
        (struct.pack("<I", 1) + b"\xc0", "map"),
        (struct.pack("<I", 1) + b"\x90", "map"),
        (struct.pack("<I", 200_000) + b"\x91" * 200_000, "MessagePack"),
    ],
    ids=["size", "limit", "reserved", "empty", "list", "map", "trailing", "nil", "array", "depth"],
)
def test_refuses_invalid_frames(stream: bytes, why: str) -> None:
    reader = FrameReader()
    reader.push(stream)
    with pytest.raises(ValueError, match=why):
        reader.next()


def test_does_not_send_more_than_a_server_reads() -> None:
    with pytest.raises(ValueError, match="accepts"):
        encode_frame({"type": "error", "detail": "x" * LIMIT_FROM_WORKER_BYTES})


def test_never_reads_pickles() -> None:
    with pytest.raises(ValueError, match="MessagePack"):
        codec.decode(b"\x80\x04N.")
