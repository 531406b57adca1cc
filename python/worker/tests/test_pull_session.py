"""A complete pull from a scripted server into a torch model: recorded, loaded in buckets, proved, pulled."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from fake_server import Connection, FakeServer, welcome
from segment import segment
from test_session import expect

torch: Any = pytest.importorskip("torch")
np: Any = pytest.importorskip("numpy")

from checkpoint_engine_worker.engine import Engine  # noqa: E402
from checkpoint_engine_worker.errors import CheckpointEngineError  # noqa: E402
from checkpoint_engine_worker.memory.shared_buffer import BufferKeeper  # noqa: E402
from checkpoint_engine_worker.pull.engine_puller import EnginePuller  # noqa: E402
from checkpoint_engine_worker.pull_types import Places  # noqa: E402
from checkpoint_engine_worker.session.update_session import ReceivedUpdate, UpdateSession  # noqa: E402
from checkpoint_engine_worker.target import CallbackTarget  # noqa: E402

NAMES = ["left.weight", "right.weight"]
BYTES = 64 * 64 * 4
REGION_BYTES = 4 * BYTES


class Model(torch.nn.Module):  # type: ignore[misc]
    """Keeps the upper half of one tensor, and the complete other one."""

    def __init__(self) -> None:
        super().__init__()
        self.left = torch.nn.Linear(64, 32, bias=False)
        self.right = torch.nn.Linear(64, 64, bias=False)
        self.loads = 0
        self.refreshes = 0

    def load_weights(self, weights: Iterable[tuple[str, Any]]) -> None:
        for name, tensor in weights:
            self.loads += 1
            parameter = self.get_parameter(name)
            with torch.no_grad():
                parameter.copy_(tensor[: parameter.shape[0]])

    def refresh(self) -> None:
        self.refreshes += 1


class Rig:
    """A model, its puller, and its sessions."""

    def __init__(self) -> None:
        self.model = Model()
        self.device = torch.device("cpu")
        self.puller = EnginePuller(
            lambda: Engine(self.model.load_weights, [("", self.model)], self.device, process=self.process),
            lambda: self.model.refresh,
        )
        self.keeper = BufferKeeper()

    def process(self, module: Any) -> None:
        """Processes a module after loading: large values of one module are treated differently."""
        if module is self.model.right and bool((module.weight.data > 100).any()):
            module.weight.data.neg_()

    def receive(self, server: FakeServer) -> ReceivedUpdate:
        return UpdateSession(
            server.address,
            device_uuid="HOST-test-0",
            device=self.device,
            target=CallbackTarget(self.model.load_weights, self.device),
            buffers=self.keeper,
            timeout_s=60,
            puller=self.puller,
        ).run()

    def holds(self, content: bytes) -> bool:
        left, right = (np.frombuffer(content, "<f4", 64 * 64, at).reshape(64, 64) for at in (0, BYTES))
        return bool(
            np.array_equal(self.model.left.weight.detach().numpy(), left[:32])
            and np.array_equal(self.model.right.weight.detach().numpy(), right)
        )


def content_of(seed: int) -> bytes:
    return np.random.default_rng(seed).standard_normal(REGION_BYTES // 4).astype("<f4").tobytes()  # type: ignore[no-any-return]


def survey(server: Connection, *, known: bool, proved: bool) -> None:
    hello = expect(server, "hello")
    assert hello["pull"] == {"version": 1, "provesParts": True, "reports": True, "digests": True}
    server.send(
        {
            "type": "survey",
            "protocol": 2,
            "intent": "update",
            "checkpoint": "step-100",
            "updateId": "step-100:7",
            "rank": 0,
            "deviceKind": "host",
            "deviceUuid": "HOST-test-0",
            "metasDigest": "metas",
            "tensorCount": 2,
        }
    )
    surveyed = expect(server, "surveyed")
    assert (surveyed["known"], surveyed["proved"]) == (known, proved)
    if not known:
        columns = {"names": NAMES, "dtypes": ["F32"] * 2, "shapes": [[64, 64]] * 2, "sizes": [BYTES] * 2}
        server.send({"type": "metas", "part": 0, "parts": 1, **columns})


def regions(handle: bytes) -> dict[str, Any]:
    places = {
        "tensor": struct.pack("<2I", 0, 1),
        "tensorOffset": struct.pack("<2Q", 0, 0),
        "size": struct.pack("<2Q", BYTES, BYTES),
        "region": struct.pack("<2I", 5, 5),
        "offset": struct.pack("<2Q", 0, BYTES),
    }
    named = [{"id": 5, "handle": handle, "sizeBytes": REGION_BYTES}]
    return {"type": "regions", "part": 0, "parts": 1, "layoutDigest": "layout", "regions": named, "places": places}


def needs_of(server: Connection) -> tuple[int, int]:
    """Returns the number of boxes and of whole tensors that the worker needs."""
    boxes = whole = 0
    while True:
        message = expect(server, "needs")
        boxes, whole = boxes + len(message["tensor"]) // 4, whole + len(message["rest"]) // 4
        if message["part"] == message["parts"] - 1:
            return boxes, whole


def load_whole(server: Connection, handle: bytes) -> None:
    server.send(welcome(handle=handle, sizeBytes=REGION_BYTES))
    expect(server, "ready")
    tensors = {
        "names": NAMES,
        "dtypes": ["F32"] * 2,
        "shapes": [[64, 64]] * 2,
        "offsets": [0, BYTES],
        "sizes": [BYTES] * 2,
    }
    server.send({"type": "bucket", "index": 0, "tensors": tensors})
    expect(server, "ack")
    server.send({"type": "release"})
    expect(server, "released")


def first_update(server: Connection, handle: bytes, *, keep: bool = False) -> None:
    survey(server, known=False, proved=False)
    assert needs_of(server) == (0, 2)
    server.send(regions(handle))
    assert expect(server, "mapped") == {"type": "mapped", "needPlaces": False}
    load_whole(server, handle)
    server.send({"type": "finish"})
    expect(server, "finished")
    server.send({"type": "prove"})
    proved = expect(server, "proved")
    assert proved["proved"], proved
    assert (proved["summary"]["direct"], proved["summary"]["staged"], proved["summary"]["opaque"]) == (2, 0, 0)
    server.send({"type": "bye", "keep": keep})


def is_mapped(handle: bytes) -> bool:
    return handle.decode() in Path("/proc/self/maps").read_text()


@pytest.fixture
def rig() -> Rig:
    return Rig()


def proved_with(rig: Rig, content: bytes) -> None:
    with segment(content) as handle:
        with FakeServer(lambda server: first_update(server, handle)) as server:
            update = rig.receive(server)
        assert not is_mapped(handle)
    assert update.is_loaded
    assert rig.holds(content)


def test_pulls_proved_parts_and_refreshes(rig: Rig) -> None:
    proved_with(rig, content_of(1))
    content = content_of(2)
    with segment(content) as handle:

        def script(server: Connection) -> None:
            survey(server, known=True, proved=True)
            boxes, whole = needs_of(server)
            assert boxes > 0
            assert whole == 0
            first = {**regions(handle)}
            del first["places"]
            server.send(first)
            assert expect(server, "mapped")["needPlaces"]
            server.send(regions(handle))
            assert not expect(server, "mapped")["needPlaces"]
            server.send({"type": "pull", "index": 0})
            assert expect(server, "pulled")["bytes"] == BYTES // 2 + BYTES
            server.send({"type": "finish"})
            expect(server, "finished")
            server.send({"type": "bye", "keep": False})
            assert server.receive() is None

        loads = rig.model.loads
        with FakeServer(script) as server:
            update = rig.receive(server)
    assert rig.holds(content)
    assert (update.checkpoint, update.size_bytes, update.is_loaded) == ("step-100", BYTES // 2 + BYTES, True)
    # The loader was not called.
    assert rig.model.loads == loads
    assert rig.model.refreshes == 1


def test_pulls_parts_of_tensors_from_a_ring(rig: Rig) -> None:
    proved_with(rig, content_of(1))
    content = content_of(3)
    with segment(content) as handle:

        def script(server: Connection) -> None:
            survey(server, known=True, proved=True)
            needs_of(server)
            server.send(regions(handle))
            expect(server, "mapped")
            half = BYTES // 2
            for index, (tensor, at) in enumerate([(0, 0), (0, half), (1, 0), (1, half)]):
                places = {
                    "tensor": struct.pack("<I", tensor),
                    "tensorOffset": struct.pack("<Q", at),
                    "size": struct.pack("<Q", half),
                    "region": struct.pack("<I", 5),
                    "offset": struct.pack("<Q", tensor * BYTES + at),
                }
                server.send({"type": "pull", "index": index, "places": places})
                expect(server, "pulled")
            server.send({"type": "finish"})
            expect(server, "finished")
            server.send({"type": "bye", "keep": False})

        with FakeServer(script) as server:
            rig.receive(server)
    assert rig.holds(content)


@pytest.mark.parametrize("is_whole", [True, False])
def test_proves_in_parts(rig: Rig, *, is_whole: bool) -> None:
    with segment(content_of(1)) as handle:

        def script(server: Connection) -> None:
            survey(server, known=False, proved=False)
            needs_of(server)
            empty = dict.fromkeys(("tensor", "tensorOffset", "size", "region", "offset"), b"")
            server.send({**regions(handle), "places": empty})
            assert not expect(server, "mapped")["needPlaces"]
            load_whole(server, handle)
            server.send({"type": "finish"})
            expect(server, "finished")
            server.send({"type": "prove", "more": True})
            assert not expect(server, "proved")["proved"]
            pieces = [(0, 0), (1, 0), (1, BYTES // 2)]
            if is_whole:
                pieces.append((0, BYTES // 2))
            for at, (tensor, offset) in enumerate(pieces):
                places = {
                    "tensor": struct.pack("<I", tensor),
                    "tensorOffset": struct.pack("<Q", offset),
                    "size": struct.pack("<Q", BYTES // 2),
                    "region": struct.pack("<I", 5),
                    "offset": struct.pack("<Q", tensor * BYTES + offset),
                }
                more = {} if at == len(pieces) - 1 else {"more": True}
                server.send({"type": "prove", "places": places, **more})
                proved = expect(server, "proved")
            assert proved["proved"]
            # The engine does not keep the lower half of the first tensor.
            assert proved["summary"]["direct"] == 2
            server.send({"type": "bye", "keep": False})

        with FakeServer(script) as server:
            rig.receive(server)


def test_keeps_regions_until_the_server_disconnects(rig: Rig) -> None:
    with segment(content_of(1)) as handle:
        seen: list[bool] = []

        def script(server: Connection) -> None:
            first_update(server, handle, keep=True)
            time.sleep(0.2)
            seen.append(is_mapped(handle))

        with FakeServer(script) as server:
            rig.receive(server)
        assert seen == [True]
        deadline = time.monotonic() + 10
        while is_mapped(handle) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not is_mapped(handle)


def test_after_an_abort_no_copy_reads_a_region(rig: Rig) -> None:
    proved_with(rig, content_of(1))
    with segment(content_of(2)) as handle:

        def script(server: Connection) -> None:
            survey(server, known=True, proved=True)
            needs_of(server)
            server.send(regions(handle))
            expect(server, "mapped")
            server.send({"type": "pull", "index": 0})
            expect(server, "pulled")
            server.send({"type": "abort", "error": {"code": "CE_RANK_LOST", "message": "rank 3 was lost", "hint": "h"}})
            expect(server, "aborted")
            assert not is_mapped(handle)
            assert server.receive() is None

        with FakeServer(script) as server, pytest.raises(CheckpointEngineError, match="rank 3 was lost"):
            rig.receive(server)


def test_a_changed_engine_is_recorded_again(rig: Rig) -> None:
    proved_with(rig, content_of(1))
    rig.model.right = torch.nn.Linear(64, 64, bias=False)
    proved_with(rig, content_of(2))


@pytest.mark.parametrize(
    "change",
    [
        {"places": {}},
        {"regions": []},
        {"layoutDigest": 7},
        {"part": 1},
        {"regions": [{"id": 5, "handle": b"../x", "sizeBytes": REGION_BYTES}]},
        {"regions": [{"id": 5, "handle": b"", "sizeBytes": 1}, {"id": 5, "handle": b"", "sizeBytes": 1}]},
    ],
    ids=["places", "no regions", "digest", "part", "handle", "twice"],
)
def test_refuses_invalid_regions(rig: Rig, change: dict[str, Any]) -> None:
    with segment(content_of(1)) as handle:

        def script(server: Connection) -> None:
            survey(server, known=False, proved=False)
            needs_of(server)
            server.send({**regions(handle), **change})
            expect(server, "error")
            expect(server, "aborted")

        with FakeServer(script) as server, pytest.raises(CheckpointEngineError):
            rig.receive(server)
    assert rig.model.loads == 0


def test_several_layouts_stay_mapped_and_the_oldest_is_unmapped(rig: Rig) -> None:
    proved_with(rig, content_of(1))
    columns = (np.array(column) for column in ([0, 1], [0, 0], [BYTES, BYTES], [5, 5], [0, BYTES]))
    places = Places(*columns)
    contents = {name: content_of(number) for number, name in enumerate("abcde", start=10)}
    with ExitStack() as segments:
        handles = {name: segments.enter_context(segment(content)) for name, content in contents.items()}

        def pulled(name: str, given: Any) -> bool:
            if not rig.puller.map(name, [(5, handles[name], REGION_BYTES)], given):
                return False
            rig.puller.pull(None)
            assert rig.holds(contents[name])
            return True

        assert not pulled("a", None)
        for name in "abcd":
            assert pulled(name, places)
        assert pulled("a", None)  # so b is the least recently used one
        assert pulled("e", places)
        assert [is_mapped(handles[name]) for name in "abcde"] == [True, False, True, True, True]
        assert pulled("d", None)
        assert not pulled("b", None)
        rig.puller.layouts.unmap()
        assert not any(is_mapped(handle) for handle in handles.values())
        with pytest.raises(ValueError, match="No regions are mapped"):
            rig.puller.pull(None)


def asks_for_report(wanted: dict[str, Any]) -> Any:
    def script(server: Connection) -> None:
        expect(server, "hello")
        server.send({"type": "report"})
        reported = expect(server, "reported")
        assert {name: reported.get(name) for name in wanted} == wanted
        server.send({"type": "bye", "keep": False})
        assert server.receive() is None

    return script


def test_reports_decisions_and_changes_nothing(rig: Rig) -> None:
    with FakeServer(asks_for_report({"recorded": False, "proved": False, "summary": None})) as server:
        assert not rig.receive(server).is_loaded
    content = content_of(1)
    with segment(content) as handle:
        first = FakeServer(lambda server: first_update(server, handle, keep=True))
        with first:
            rig.receive(first)
            loads = rig.model.loads
            with FakeServer(
                asks_for_report({"recorded": True, "proved": True, "fingerprint": rig.puller.fingerprint})
            ) as server:
                assert not rig.receive(server).is_loaded
    assert rig.model.loads == loads
    assert rig.holds(content)
    summary = rig.puller.describe()["summary"]
    assert (summary["modules"], summary["direct"], summary["reasons"]) == (2, 2, "")


def test_an_interrupted_report_leaves_the_regions_mapped(rig: Rig) -> None:
    def leaves(server: Connection) -> None:
        expect(server, "hello")
        server.send({"type": "report"})
        expect(server, "reported")

    def surveys(server: Connection) -> None:
        expect(server, "hello")
        server.send({"type": "report"})
        expect(server, "reported")
        server.send({"type": "survey", "protocol": 2})
        assert expect(server, "error")["error"]["code"] == "CE_WORKER_PROTOCOL"

    content = content_of(1)
    with segment(content) as handle:
        kept = threading.Event()

        def holds(server: Connection) -> None:
            first_update(server, handle, keep=True)
            assert kept.wait(60)

        with FakeServer(holds) as first:
            rig.receive(first)
            for script in (leaves, surveys):
                with FakeServer(script) as server, pytest.raises(CheckpointEngineError):
                    rig.receive(server)
                assert is_mapped(handle)
            kept.set()


def pulls_at_once(server: Connection, handle: bytes) -> None:
    survey(server, known=False, proved=False)
    boxes, whole = needs_of(server)
    assert boxes > 0
    assert whole == 0
    server.send(regions(handle))
    assert not expect(server, "mapped")["needPlaces"]
    server.send({"type": "pull", "index": 0})
    expect(server, "pulled")
    server.send({"type": "finish"})


def test_a_large_model_is_pulled_by_its_first_update(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHECKPOINT_ENGINE_REPRESENTATIVES", "1")
    content = content_of(1)
    with segment(content) as handle:

        def script(server: Connection) -> None:
            pulls_at_once(server, handle)
            expect(server, "finished")
            server.send({"type": "prove"})
            proved = expect(server, "proved")
            assert proved["proved"]
            assert proved["summary"]["kinds"] == 2
            server.send({"type": "bye", "keep": False})

        with FakeServer(script) as server:
            assert rig.receive(server).is_loaded
    assert rig.holds(content)
    assert rig.model.refreshes == 1


def test_a_difference_from_the_engines_loading_fails_the_update_and_the_next_one_loads(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHECKPOINT_ENGINE_REPRESENTATIVES", "1")
    content = bytearray(content_of(1))
    content[BYTES : BYTES + 4] = struct.pack("<f", 128.0)
    with segment(bytes(content)) as handle:

        def found(server: Connection) -> None:
            pulls_at_once(server, handle)
            error = expect(server, "error")["error"]
            assert error["code"] == "CE_ENGINE_MISMATCH"
            assert "right" in error["message"]

        with FakeServer(found) as server, pytest.raises(CheckpointEngineError, match="right"):
            rig.receive(server)

        def again(server: Connection) -> None:
            survey(server, known=True, proved=True)
            assert needs_of(server) == (1, 1)
            server.send({"type": "bye", "keep": False})

        with FakeServer(again) as server:
            rig.receive(server)
