"""Both sides of the protocol are tested against the same frames."""

import json
from pathlib import Path
from typing import Any

import pytest

from checkpoint_engine_worker.protocol import codec
from checkpoint_engine_worker.protocol.frames import FrameReader, encode_frame
from checkpoint_engine_worker.protocol.messages import message_type, read_abort, read_bucket, read_confirm, read_welcome

VECTORS = Path(__file__).parents[3] / "packages/interface/test-vectors/worker-protocol"
FILES = sorted(VECTORS.glob("*sessions.json"))


def restore(value: Any) -> Any:
    """Returns a value of a vector: `{"$bin": hex}` means bytes."""
    if isinstance(value, list):
        return [restore(item) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"$bin"}:
        return bytes.fromhex(value["$bin"])
    return {name: restore(item) for name, item in value.items()}


def lines() -> list[Any]:
    found = []
    for path in FILES:
        for session in json.loads(path.read_text())["sessions"]:
            for index, line in enumerate(session["lines"]):
                found.append(pytest.param(line, id=f"{session['name']} {index} {line['message']['type']}"))
    return found


def test_vectors_exist() -> None:
    assert FILES
    assert lines()


@pytest.mark.parametrize("line", lines())
def test_decodes_each_frame(line: dict[str, Any]) -> None:
    reader = FrameReader()
    reader.push(bytes.fromhex(line["frame"]))
    assert reader.next() == restore(line["message"])
    assert reader.next() is None


@pytest.mark.parametrize("line", [line for line in lines() if line.values[0]["from"] == "worker"])
def test_encodes_messages_of_a_worker(line: dict[str, Any]) -> None:
    message = restore(line["message"])
    frame = encode_frame(message)
    assert codec.decode(frame[4:]) == message
    # MessagePack in its shortest form, in the order of the message.
    assert frame.hex() == line["frame"]


@pytest.mark.parametrize("line", [line for line in lines() if line.values[0]["from"] == "server"])
def test_accepts_messages_of_a_server(line: dict[str, Any]) -> None:
    message = restore(line["message"])
    kind = message_type(message)
    if kind == "welcome":
        assert read_welcome(message).device_uuid == message["deviceUuid"]
    elif kind == "bucket":
        assert [place.name for place in read_bucket(message, 2**40).tensors] == message["tensors"]["names"]
    elif kind == "confirm":
        assert read_confirm(message) == message["version"]
    elif kind == "abort":
        assert read_abort(message).detail == message["error"].get("detail")
