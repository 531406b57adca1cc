from typing import Any

import pytest

from checkpoint_engine_worker.errors import CheckpointEngineError
from checkpoint_engine_worker.protocol.messages import message_type, read_abort, read_bucket, read_welcome
from fake_server import welcome


def bucket(**columns: object) -> dict[str, Any]:
    tensors = {"names": ["a"], "dtypes": ["BF16"], "shapes": [[2, 2]], "offsets": [256], "sizes": [8], **columns}
    return {"type": "bucket", "index": 0, "tensors": tensors}


def test_reads_a_welcome() -> None:
    read = read_welcome(welcome(handle=b"name", sizeBytes=4096, bufferStays=True))
    assert (read.checkpoint, read.size_bytes, read.slots, read.buffer_stays) == ("step-100", 4096, 2, True)


@pytest.mark.parametrize(
    "fields",
    [
        {"protocol": 3},
        {"protocol": None},
        {"checkpoint": 1},
        {"rank": -1},
        {"rank": True},
        {"sizeBytes": 1.5},
        {"slots": 0},
        {"handle": "text"},
        {"bufferStays": 1},
    ],
)
def test_refuses_an_invalid_welcome(fields: dict[str, object]) -> None:
    with pytest.raises(CheckpointEngineError) as raised:
        read_welcome(welcome(**fields))
    assert raised.value.code == "CE_WORKER_PROTOCOL"


def test_names_both_versions() -> None:
    with pytest.raises(CheckpointEngineError, match="uses protocol 2, the server 3"):
        read_welcome(welcome(protocol=3))


def test_reads_a_bucket() -> None:
    (place,) = read_bucket(bucket(), 4096).tensors
    assert (place.name, place.dtype, place.shape, place.offset_bytes, place.size_bytes) == ("a", "BF16", (2, 2), 256, 8)


@pytest.mark.parametrize(
    "columns",
    [
        {"names": ["a", "b"]},
        {"names": []},
        {"names": [1]},
        {"dtypes": None},
        {"shapes": [[-1]]},
        {"shapes": [2]},
        {"offsets": [-256]},
        {"sizes": ["8"]},
        {"sizes": [4096]},
        {"offsets": [2**53 - 1]},
    ],
)
def test_refuses_an_invalid_bucket(columns: dict[str, object]) -> None:
    with pytest.raises(CheckpointEngineError) as raised:
        read_bucket(bucket(**columns), 4096)
    assert raised.value.code == "CE_WORKER_PROTOCOL"


@pytest.mark.parametrize("error", [None, "text", {}, {"code": 1, "message": 2}])
def test_accepts_an_abort_with_any_content(error: object) -> None:
    assert read_abort({"type": "abort", "error": error}).code == "CE_REMOTE_FAILED"


@pytest.mark.parametrize("message", [None, 1, [], {}, {"type": 1}])
def test_refuses_messages_without_a_type(message: object) -> None:
    with pytest.raises(CheckpointEngineError, match="without a type"):
        message_type(message)
