from __future__ import annotations

import threading
from typing import Any

import pytest

from checkpoint_engine_worker.device import choose_device, host_prefix
from checkpoint_engine_worker.errors import CheckpointEngineError
from checkpoint_engine_worker.receiver import Receiver
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


def test_knows_what_its_weights_are() -> None:
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
        # Nothing was touched.
        assert receiver.describe()["weights"] == "loaded"
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


def test_workers_of_a_host_share_out_its_host_devices() -> None:
    prefix = host_prefix()
    handles = {f"{prefix}10": "j", f"{prefix}2": "c", "HOST-00000000-0": "other host"}
    cpu = torch.device("cpu")
    assert [choose_device(handles, cpu, rank) for rank in (0, 1)] == [f"{prefix}2", f"{prefix}10"]
    with pytest.raises(CheckpointEngineError, match="local rank 2") as raised:
        choose_device(handles, cpu, 2)
    assert raised.value.code == "CE_ENGINE_MISMATCH"


def test_says_which_devices_there_are() -> None:
    with pytest.raises(CheckpointEngineError, match="GPU-1"):
        choose_device({"GPU-1": "a"}, torch.device("cpu"), 0)
    with pytest.raises(CheckpointEngineError, match='type "meta"'):
        choose_device({"GPU-1": "a"}, torch.device("meta"), 0)
