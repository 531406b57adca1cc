from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import pytest

from checkpoint_engine_worker.errors import CheckpointEngineError
from checkpoint_engine_worker.receiver import Receiver
from checkpoint_engine_worker.session.device import choose_device, host_prefix
from fake_server import Connection, FakeServer, welcome
from segment import segment
from test_session import CONTENT, Model, bucket, expect, finish

torch: Any = pytest.importorskip("torch")

UUID = f"{host_prefix()}0"


def update(server: Connection, handle: bytes, *, dies: bool = False) -> None:
    expect(server, "hello")
    server.send(welcome(deviceUuid=UUID, handle=handle, sizeBytes=len(CONTENT)))
    expect(server, "ready")
    server.send(bucket(0, ["a"]))
    expect(server, "ack")
    if not dies:
        finish(server)


def test_tracks_the_state_of_its_weights() -> None:
    receiver = Receiver(torch.device("cpu"))
    assert receiver.describe()["weights"] == "initial"
    with segment(CONTENT) as handle:
        with (
            FakeServer(lambda server: update(server, handle, dies=True)) as server,
            pytest.raises(CheckpointEngineError),
        ):
            receiver.receive({UUID: server.address}, Model())
        assert receiver.describe()["weights"] == "unknown"
        assert receiver.describe()["error"]["code"] == "CE_PEER_LOST"
        with FakeServer(lambda server: update(server, handle)) as server:
            receiver.receive({UUID: server.address}, Model())
        described = receiver.describe()
        assert (described["weights"], described["checkpoint"]) == ("loaded", "step-100")
        with FakeServer(lambda server: server.socket.close()) as server, pytest.raises(CheckpointEngineError):
            receiver.receive({UUID: server.address}, Model())
        # Nothing has changed.
        assert receiver.describe()["weights"] == "loaded"
    receiver.close()


def confirmed(server: Connection, handle: bytes, holds: str, *, version: object = "v2", dies: bool = False) -> None:
    assert expect(server, "hello")["holds"] == holds
    server.send(welcome(deviceUuid=UUID, handle=handle, sizeBytes=len(CONTENT)))
    expect(server, "ready")
    server.send(bucket(0, ["a"]))
    expect(server, "ack")
    server.send({"type": "release"})
    expect(server, "released")
    server.send({"type": "finish", "confirms": True})
    expect(server, "finished")
    if dies:
        return
    server.send({"type": "confirm", "version": version})
    expect(server, "confirmed")
    assert server.receive() is None


def test_has_a_version_when_the_server_has_confirmed_it() -> None:
    receiver = Receiver(torch.device("cpu"))
    assert receiver.describe()["weightVersion"] == "unknown"
    with segment(CONTENT) as handle:
        with FakeServer(lambda server: confirmed(server, handle, "unknown", version="v1")) as server:
            assert receiver.receive({UUID: server.address}, Model()).version == "v1"
        assert receiver.describe()["weightVersion"] == "v1"
        # Nothing has changed.
        with FakeServer(lambda server: server.socket.close()) as server, pytest.raises(CheckpointEngineError):
            receiver.receive({UUID: server.address}, Model())
        described = receiver.describe()
        assert (described["weights"], described["weightVersion"]) == ("loaded", "v1")
        assert (described["checkpoint"], described["error"]["code"]) == ("step-100", "CE_PEER_LOST")
        # This worker has finished, but another worker may not have.
        model = Model()
        with (
            FakeServer(lambda server: confirmed(server, handle, "v1", dies=True)) as server,
            pytest.raises(CheckpointEngineError, match="parameter server"),
        ):
            receiver.receive({UUID: server.address}, model)
        described = receiver.describe()
        assert (described["weights"], described["weightVersion"]) == ("unknown", "unknown")
        assert "checkpoint" not in described
        # A loaded model is not restored.
        assert model.calls == ["begin", "load", "finish"]
        with FakeServer(lambda server: confirmed(server, handle, "unknown", version="v3")) as server:
            receiver.receive({UUID: server.address}, Model())
        assert receiver.describe()["weightVersion"] == "v3"
        receiver.forget_version()
        assert receiver.describe()["weightVersion"] == "unknown"
    receiver.close()


def test_has_no_version_if_the_server_does_not_confirm() -> None:
    receiver = Receiver(torch.device("cpu"))
    with segment(CONTENT) as handle:
        with FakeServer(lambda server: confirmed(server, handle, "unknown", version="v1")) as server:
            receiver.receive({UUID: server.address}, Model())
        with FakeServer(lambda server: update(server, handle)) as server:
            assert receiver.receive({UUID: server.address}, Model()).version is None
        described = receiver.describe()
        assert (described["weights"], described["weightVersion"]) == ("loaded", "unknown")
    receiver.close()


@pytest.mark.parametrize("version", [None, 7, "", "a b", "unknown", "x" * 129, "é", "v1\n"])
def test_refuses_invalid_versions(version: object) -> None:
    receiver = Receiver(torch.device("cpu"))

    def script(server: Connection) -> None:
        with pytest.raises(AssertionError, match="CE_WORKER_PROTOCOL"):
            confirmed(server, handle, "unknown", version=version)

    with segment(CONTENT) as handle, FakeServer(script) as server, pytest.raises(CheckpointEngineError) as raised:
        receiver.receive({UUID: server.address}, Model())
    assert raised.value.code == "CE_WORKER_PROTOCOL"
    assert receiver.describe()["weightVersion"] == "unknown"
    receiver.close()


def test_takes_one_update_at_a_time() -> None:
    receiver = Receiver(torch.device("cpu"))
    is_inside, may_end = threading.Event(), threading.Event()

    def script(server: Connection) -> None:
        expect(server, "hello")
        is_inside.set()
        may_end.wait(10)

    with FakeServer(script) as server:

        def first() -> None:
            with pytest.raises(CheckpointEngineError):
                receiver.receive({UUID: server.address}, Model())

        thread = threading.Thread(target=first)
        thread.start()
        assert is_inside.wait(10)
        with pytest.raises(CheckpointEngineError, match="Another update"):
            receiver.receive({UUID: server.address}, Model())
        may_end.set()
        thread.join(10)


def test_workers_of_a_host_divide_its_host_devices() -> None:
    prefix = host_prefix()
    handles = {f"{prefix}10": "j", f"{prefix}2": "c", "HOST-00000000-0": "other host"}
    cpu = torch.device("cpu")
    assert [choose_device(handles, cpu, rank) for rank in (0, 1)] == [f"{prefix}2", f"{prefix}10"]
    with pytest.raises(CheckpointEngineError, match="local rank 2") as raised:
        choose_device(handles, cpu, 2)
    assert raised.value.code == "CE_ENGINE_MISMATCH"


@pytest.mark.parametrize("number", ["", "x", "-1", "1.5", "\u00b2", "\u0663", " 1", "9" * 5000])
def test_a_device_without_a_number_is_not_one_of_this_host(number: str) -> None:
    prefix = host_prefix()
    handles = {f"{prefix}{number}": "odd", f"{prefix}4": "fine"}
    assert choose_device(handles, torch.device("cpu"), 0) == f"{prefix}4"
    with pytest.raises(CheckpointEngineError, match="local rank 1") as raised:
        choose_device(handles, torch.device("cpu"), 1)
    assert raised.value.code == "CE_ENGINE_MISMATCH"


def test_lists_the_devices() -> None:
    with pytest.raises(CheckpointEngineError, match="GPU-1"):
        choose_device({"GPU-1": "a"}, torch.device("cpu"), 0)
    with pytest.raises(CheckpointEngineError, match='type "meta"'):
        choose_device({"GPU-1": "a"}, torch.device("meta"), 0)


def asked(server: Connection, wanted: Mapping[str, object]) -> None:
    hello = expect(server, "hello")
    assert hello["pull"] == {"version": 1, "reports": True}
    server.send({"type": "report"})
    told = expect(server, "reported")
    assert {name: told.get(name) for name in wanted} == wanted
    assert hello["holds"] == told["weightVersion"]
    server.send({"type": "bye", "keep": False})
    assert server.receive() is None


def test_reports_its_state_without_a_puller() -> None:
    receiver = Receiver(torch.device("cpu"))
    nothing = {"recorded": False, "proved": False, "pulls": False, "summary": None}
    with FakeServer(lambda server: asked(server, {"weights": "initial", "checkpoint": None, **nothing})) as server:
        receiver.report(server.address)
    with segment(CONTENT) as handle, FakeServer(lambda server: confirmed(server, handle, "unknown")) as server:
        receiver.receive({UUID: server.address}, Model())
    wanted = {"weights": "loaded", "checkpoint": "step-100", "weightVersion": "v2", **nothing}
    with FakeServer(lambda server: asked(server, wanted)) as server:
        receiver.report(server.address)
    assert receiver.describe()["weights"] == "loaded"
    receiver.close()


def test_a_report_receives_no_weights() -> None:
    def loads(server: Connection) -> None:
        expect(server, "hello")
        server.send(welcome(deviceUuid=UUID, handle=b"any", sizeBytes=len(CONTENT)))
        assert expect(server, "error")["error"]["code"] == "CE_WORKER_PROTOCOL"

    receiver = Receiver(torch.device("cpu"))
    with FakeServer(loads) as server, pytest.raises(CheckpointEngineError, match="welcome"):
        receiver.report(server.address)
    assert receiver.describe()["weights"] == "initial"
    with pytest.raises(CheckpointEngineError) as raised:
        receiver.report(server.address)
    assert raised.value.code == "CE_PEER_UNREACHABLE"
    receiver.close()
