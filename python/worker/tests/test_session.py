from __future__ import annotations

import gc
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from checkpoint_engine_worker.errors import CheckpointEngineError
from checkpoint_engine_worker.memory.shared_buffer import BufferKeeper
from checkpoint_engine_worker.session.update_session import ReceivedUpdate, UpdateSession
from fake_server import Connection, FakeServer, welcome
from segment import segment

torch: Any = pytest.importorskip("torch")

CONTENT = bytes(index % 251 for index in range(8192))


class Model:
    """Keeps copies of its tensors, and a log of calls."""

    def __init__(self, on_tensor: Callable[[str], None] = lambda _: None) -> None:
        self.calls: list[str] = []
        self.tensors: dict[str, Any] = {}
        self.on_tensor = on_tensor

    def begin(self) -> None:
        self.calls.append("begin")

    def load(self, tensors: Iterable[tuple[str, Any]]) -> None:
        self.calls.append("load")
        for name, tensor in tensors:
            self.on_tensor(name)
            self.tensors[name] = tensor.clone()

    def finish(self) -> None:
        self.calls.append("finish")

    def abort(self) -> None:
        self.calls.append("abort")


def bucket(index: int, names: list[str]) -> dict[str, Any]:
    count = len(names)
    tensors = {
        "names": names,
        "dtypes": ["U8"] * count,
        "shapes": [[16, 16]] * count,
        "offsets": [256 * (index + at) for at in range(count)],
        "sizes": [256] * count,
    }
    return {"type": "bucket", "index": index, "tensors": tensors}


def receive(
    server: FakeServer, model: Model, keeper: BufferKeeper | None = None, timeout_s: float = 60
) -> ReceivedUpdate:
    return UpdateSession(
        server.address,
        device_uuid="HOST-test-0",
        device=torch.device("cpu"),
        target=model,
        buffers=keeper or BufferKeeper(),
        timeout_s=timeout_s,
    ).run()


def expect(server: Connection, kind: str) -> dict[str, Any]:
    message = server.receive()
    assert message is not None, f"disconnected in place of {kind}"
    assert message["type"] == kind, message
    return message


def finish(server: Connection) -> None:
    server.send({"type": "release"})
    expect(server, "released")
    server.send({"type": "finish"})
    expect(server, "finished")
    assert server.receive() is None


def greet(server: Connection, handle: bytes, **fields: object) -> None:
    expect(server, "hello")
    server.send(welcome(handle=handle, sizeBytes=len(CONTENT), **fields))
    assert expect(server, "ready")["credits"] == fields.get("slots", 2)


def test_completes_an_update_with_several_buckets_in_flight() -> None:
    with segment(CONTENT) as handle:

        def script(server: Connection) -> None:
            greet(server, handle)
            server.send(bucket(0, ["a", "b"]))
            server.send(bucket(1, ["c"]))
            assert [expect(server, "ack")["index"], expect(server, "ack")["index"]] == [0, 1]
            finish(server)

        model = Model()
        with FakeServer(script) as server:
            update = receive(server, model)
    assert (update.checkpoint, update.update_id, update.buckets, update.tensors, update.size_bytes) == (
        "step-100",
        "step-100:7",
        2,
        3,
        768,
    )
    assert model.calls == ["begin", "load", "load", "finish"]
    assert {name: bytes(tensor.numpy().reshape(-1)) for name, tensor in model.tensors.items()} == {
        "a": CONTENT[:256],
        "b": CONTENT[256:512],
        "c": CONTENT[256:512],
    }


def test_does_not_change_a_model_without_new_weights() -> None:
    with segment(CONTENT) as handle:

        def script(server: Connection) -> None:
            greet(server, handle)
            finish(server)

        model = Model()
        with FakeServer(script) as server:
            receive(server, model)
    assert model.calls == []


def test_keeps_the_mapping_if_the_buffer_stays() -> None:
    keeper = BufferKeeper()

    def once(handle: bytes, *, stays: bool) -> None:
        def script(server: Connection) -> None:
            greet(server, handle, bufferStays=stays)
            finish(server)

        with FakeServer(script) as server:
            receive(server, Model(), keeper)

    with segment(CONTENT) as handle:
        once(handle, stays=True)
        # The next update finds the buffer mapped, although the file was unlinked.
    once(handle, stays=True)
    once_more = pytest.raises(AssertionError)
    with once_more:
        once(handle, stays=False)
    keeper.close()
    keeper.close()


def test_another_buffer_replaces_the_kept_one() -> None:
    keeper = BufferKeeper()
    for _ in range(2):
        with segment(CONTENT) as handle:

            def script(server: Connection, handle: bytes = handle) -> None:
                greet(server, handle, bufferStays=True)
                server.send(bucket(0, ["a"]))
                expect(server, "ack")
                finish(server)

            model = Model()
            with FakeServer(script) as server:
                receive(server, model, keeper)
            assert bytes(model.tensors["a"].numpy().reshape(-1)) == CONTENT[:256]
    keeper.close()


def test_an_abort_ends_loading_between_two_tensors_and_unmaps_before_it_disconnects() -> None:
    with segment(CONTENT) as handle:
        loaded: list[str] = []
        connections: list[Connection] = []

        def script(server: Connection) -> None:
            connections.append(server)
            greet(server, handle)
            server.send(bucket(0, ["a", "b", "c"]))
            assert server.receive() is None

        def on_tensor(name: str) -> None:
            loaded.append(name)
            if name == "a":
                connections[0].send(
                    {"type": "abort", "error": {"code": "CE_RANK_LOST", "message": "rank 3 was lost", "hint": "h"}}
                )

        model = Model(on_tensor)
        with FakeServer(script) as server, pytest.raises(CheckpointEngineError, match="rank 3 was lost"):
            receive(server, model)
        assert loaded == ["a"]
        assert model.calls == ["begin", "load", "abort"]
        gc.collect()
        with open("/proc/self/maps") as maps:
            assert handle.decode() not in maps.read()


def test_sends_the_exception_of_the_loader_to_the_server() -> None:
    with segment(CONTENT) as handle:
        told: list[dict[str, Any]] = []

        def script(server: Connection) -> None:
            greet(server, handle)
            server.send(bucket(0, ["a"]))
            told.append(expect(server, "error")["error"])
            assert server.receive() is None

        def refuse(_: str) -> None:
            raise KeyError("lm_head.weight")

        model = Model(refuse)
        with FakeServer(script) as server, pytest.raises(CheckpointEngineError) as raised:
            receive(server, model)
    assert raised.value.code == "CE_WORKER_FAILED"
    assert isinstance(raised.value.__cause__, KeyError)
    assert told[0]["message"] == "KeyError: 'lm_head.weight'"
    assert "in refuse" in told[0]["detail"]
    assert model.calls == ["begin", "load", "abort"]


def test_a_failing_hook_fails_the_update() -> None:
    with segment(CONTENT) as handle:

        def script(server: Connection) -> None:
            greet(server, handle)
            server.send(bucket(0, ["a"]))
            expect(server, "ack")
            server.send({"type": "release"})
            expect(server, "released")
            server.send({"type": "finish"})
            assert expect(server, "error")["error"]["message"] == "RuntimeError: no kernel"

        model = Model()
        model.finish = lambda: (_ for _ in ()).throw(RuntimeError("no kernel"))  # type: ignore[method-assign]
        with FakeServer(script) as server, pytest.raises(CheckpointEngineError, match="no kernel"):
            receive(server, model)
    assert model.calls[-1] == "abort"


def test_the_death_of_the_server_during_an_update_restores_the_model() -> None:
    with segment(CONTENT) as handle:

        def script(server: Connection) -> None:
            greet(server, handle)
            server.send(bucket(0, ["a"]))
            expect(server, "ack")

        model = Model()
        with FakeServer(script) as server, pytest.raises(CheckpointEngineError) as raised:
            receive(server, model, timeout_s=60)
    assert raised.value.code == "CE_PEER_LOST"
    assert model.calls == ["begin", "load", "abort"]


@pytest.mark.parametrize(
    "messages",
    [
        [{"type": "bucket", "index": 0}],
        [{"type": "release"}],
        [{"type": "finish"}],
        [{"type": "surprise"}],
        [welcome(deviceKind="npu")],
        [welcome(handle=b"../etc/passwd", sizeBytes=1)],
        [welcome(deviceUuid="HOST-test-1")],
    ],
    ids=["bucket", "release", "finish", "unknown", "device kind", "handle", "device"],
)
def test_refuses_messages_out_of_order(messages: list[dict[str, Any]]) -> None:
    def script(server: Connection) -> None:
        expect(server, "hello")
        for message in messages:
            server.send(message)
        expect(server, "error")
        assert server.receive() is None

    model = Model()
    with FakeServer(script) as server, pytest.raises(CheckpointEngineError):
        receive(server, model)
    assert model.calls == []


@pytest.mark.parametrize(
    "change",
    [{"sizes": [255]}, {"shapes": [[16, 17]]}, {"dtypes": ["F32"]}, {"dtypes": ["X"]}, {"offsets": [8192]}],
    ids=["size", "shape", "dtype", "unknown dtype", "offset"],
)
def test_refuses_inconsistent_tensors(change: dict[str, list[Any]]) -> None:
    with segment(CONTENT) as handle:

        def script(server: Connection) -> None:
            greet(server, handle)
            wrong = bucket(0, ["a"])
            wrong["tensors"].update(change)
            server.send(wrong)
            expect(server, "error")

        model = Model()
        with FakeServer(script) as server, pytest.raises(CheckpointEngineError):
            receive(server, model)
    assert model.tensors == {}
