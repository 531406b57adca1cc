"""Columns of needs and places, compared with the vectors that also test the TypeScript side."""

from __future__ import annotations

import json
from typing import Any

import pytest

from test_vectors import VECTORS

np: Any = pytest.importorskip("numpy")

from checkpoint_engine_worker.protocol.pull_columns import check_places, decode_places, needs_messages  # noqa: E402
from checkpoint_engine_worker.pull_types import Needs, Summary  # noqa: E402

COLUMNS = json.loads((VECTORS / "columns.json").read_text())
SIZES = np.array(COLUMNS["sizes"], dtype=np.int64)
REGIONS = {region["id"]: region["sizeBytes"] for region in COLUMNS["regions"]}
SUMMARY = Summary(3, 1, 1, 1, (("model.layers.0", "its\tloader"),), 1.5, 2.5)


def named(vectors: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(vector, id=vector["name"]) for vector in vectors]


def columns_of(vector: dict[str, Any]) -> dict[str, bytes]:
    return {name: bytes.fromhex(column) for name, column in vector["columns"].items()}


@pytest.mark.parametrize("vector", named([v for v in COLUMNS["places"] if "error" not in v]))
def test_reads_places(vector: dict[str, Any]) -> None:
    places = decode_places([columns_of(vector)])
    check_places(places, SIZES, REGIONS)
    rows = np.stack([places.tensor, places.tensor_offset, places.size, places.region, places.offset], axis=1)
    assert rows.reshape(-1, 5).tolist() == vector["rows"]


@pytest.mark.parametrize("vector", named([v for v in COLUMNS["places"] if "error" in v]))
def test_refuses_places(vector: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        check_places(decode_places([columns_of(vector)]), SIZES, REGIONS)


@pytest.mark.parametrize("vector", named([v for v in COLUMNS["needs"] if "error" not in v]))
def test_writes_needs(vector: dict[str, Any]) -> None:
    boxes = np.array(vector["boxes"], dtype=np.int64).reshape(-1, 5)
    needs = Needs(
        boxes[:, 0].astype(np.uint32),
        boxes[:, 1],
        boxes[:, 2],
        boxes[:, 3],
        boxes[:, 4],
        np.array(vector["rest"], dtype=np.uint32),
    )
    messages = list(needs_messages(needs, SUMMARY))
    joined = {name: b"".join(message[name] for message in messages).hex() for name in vector["columns"]}
    assert joined == vector["columns"]


def test_writes_many_needs_in_parts() -> None:
    count = 40_000
    column = np.arange(count, dtype=np.int64)
    needs = Needs(column.astype(np.uint32), column, column, column, column, np.arange(200_000, dtype=np.uint32))
    messages = list(needs_messages(needs, SUMMARY))
    assert [message["part"] for message in messages] == list(range(len(messages)))
    assert {message["parts"] for message in messages} == {len(messages)}
    assert b"".join(message["offset"] for message in messages) == column.astype("<u8").tobytes()
    assert b"".join(message["rest"] for message in messages) == np.arange(200_000, dtype="<u4").tobytes()
    assert all("summary" not in message for message in messages[:-1])
    reasons = messages[-1]["summary"]["reasons"]
    assert reasons == "model.layers.0\tits\\tloader"
