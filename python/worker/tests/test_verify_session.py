"""Sessions of a scripted server that only requests digests of an engine's weights."""

from __future__ import annotations

import struct
import time
from typing import Any

import pytest

from fake_server import Connection, FakeServer
from segment import segment
from test_session import expect

pytest.importorskip("torch")
np: Any = pytest.importorskip("numpy")

from checkpoint_engine_worker.digest import digest_bytes  # noqa: E402
from checkpoint_engine_worker.errors import CheckpointEngineError  # noqa: E402
from test_pull_session import BYTES, NAMES, Rig, content_of, first_update, is_mapped, needs_of, proved_with  # noqa: E402


@pytest.fixture
def rig() -> Rig:
    return Rig()


def survey(server: Connection, metas: str = "metas") -> None:
    expect(server, "hello")
    server.send(
        {
            "type": "survey",
            "protocol": 2,
            "intent": "verify",
            "checkpoint": "step-100",
            "updateId": "step-100:8",
            "rank": 0,
            "deviceKind": "host",
            "deviceUuid": "HOST-test-0",
            "metasDigest": metas,
            "tensorCount": 2,
        }
    )


def digests(server: Connection) -> list[int]:
    """Windows of all tensors."""
    columns = {
        "tensor": struct.pack("<2I", 0, 1),
        "offset": struct.pack("<2Q", 0, 0),
        "size": struct.pack("<2Q", BYTES, BYTES),
    }
    server.send({"type": "digest", "index": 0, **columns})
    return list(struct.unpack("<2Q", expect(server, "digested")["digest"]))


def test_reports_digests_and_does_not_change_the_engine(rig: Rig) -> None:
    content = content_of(1)
    found: list[int] = []

    def script(server: Connection) -> None:
        survey(server)
        assert expect(server, "surveyed")["known"]
        boxes, whole = needs_of(server)
        assert (boxes > 0, whole) == (True, 0)
        found[:] = digests(server)
        server.send({"type": "bye", "keep": False})
        assert server.receive() is None

    proved_with(rig, content)
    loads = rig.model.loads
    with FakeServer(script) as server:
        update = rig.receive(server)
    assert not update.is_loaded
    # The engine keeps the upper half of the first tensor.
    assert found == [
        digest_bytes(np.frombuffer(part, np.uint8)) for part in (content[: BYTES // 2], content[BYTES : 2 * BYTES])
    ]
    assert rig.holds(content)
    assert rig.model.loads == loads

    weight = rig.model.right.weight.data.view(-1)
    weight[3] += 1
    before = list(found)
    with FakeServer(script) as server:
        rig.receive(server)
    assert found[0] == before[0]
    assert found[1] != before[1]


def test_regions_stay_mapped(rig: Rig) -> None:
    seen: list[bool] = []

    def script(server: Connection) -> None:
        survey(server)
        expect(server, "surveyed")
        needs_of(server)
        digests(server)
        server.send({"type": "bye", "keep": False})
        assert server.receive() is None

    with segment(content_of(1)) as handle:

        def update(server: Connection) -> None:
            first_update(server, handle, keep=True)
            with FakeServer(script) as other:
                rig.receive(other)
            seen.append(is_mapped(handle))

        with FakeServer(update) as server:
            rig.receive(server)
            deadline = time.monotonic() + 30
            while not seen and time.monotonic() < deadline:
                time.sleep(0.02)
    assert seen == [True]


def refused(rig: Rig, metas: str, tensors: dict[str, Any] | None = None) -> CheckpointEngineError:
    def script(server: Connection) -> None:
        survey(server, metas)
        if tensors is not None:
            assert not expect(server, "surveyed")["known"]
            server.send({"type": "metas", "part": 0, "parts": 1, **tensors})
        assert expect(server, "error")["error"]["code"].startswith("CE_")

    with FakeServer(script) as server, pytest.raises(CheckpointEngineError) as caught:
        rig.receive(server)
    return caught.value


def test_an_engine_without_an_update_cannot_be_verified(rig: Rig) -> None:
    error = refused(rig, "metas")
    assert error.code == "CE_NOT_SUPPORTED"
    assert "has received no update" in error.what


def test_other_tensors_are_reported_and_the_recording_is_kept(rig: Rig) -> None:
    proved_with(rig, content_of(1))
    other = {"names": [NAMES[0], "third"], "dtypes": ["F32"] * 2, "shapes": [[32, 128], [64, 64]], "sizes": [BYTES] * 2}
    error = refused(rig, "others", other)
    assert error.code == "CE_ENGINE_MISMATCH"
    for text in ('"left.weight" is F32 [32, 128] in the checkpoint and F32 [64, 64]', '"third"', '"right.weight"'):
        assert text in error.what
    assert rig.puller.knows("metas")
    assert rig.puller.is_proved


def test_an_engine_that_cannot_be_read_reports_the_reason(rig: Rig) -> None:
    proved_with(rig, content_of(1))

    def asleep() -> None:
        raise CheckpointEngineError("CE_ENGINE_FAILED", "The engine sleeps", "Wake it up")

    rig.puller._memory.check = asleep  # type: ignore[method-assign]
    assert refused(rig, "metas").what == "The engine sleeps"
