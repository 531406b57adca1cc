import threading
import time

import pytest

from checkpoint_engine_worker.errors import CheckpointEngineError
from checkpoint_engine_worker.protocol.address import parse_address
from checkpoint_engine_worker.protocol.server_link import ServerLink
from fake_server import KEY, Connection, FakeServer


def connect(server: FakeServer, timeout_s: float = 5) -> ServerLink:
    return ServerLink.connect(parse_address(server.address), timeout_s)


def check_until_it_fails(link: ServerLink) -> None:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        link.check()


def test_sends_the_key_before_the_server_sends_anything() -> None:
    def script(server: Connection) -> None:
        hello = server.receive()
        assert hello
        assert (hello["type"], hello["protocol"], hello["key"]) == ("hello", 2, KEY)
        server.send({"type": "release"})
        assert server.receive() is None

    with FakeServer(script) as server:
        link = connect(server)
        assert link.receive() == {"type": "release"}
        link.close()
        link.close()


def test_detects_the_death_of_the_server_at_once() -> None:
    def script(server: Connection) -> None:
        server.receive()
        server.socket.close()

    with FakeServer(script) as server:
        link = connect(server, timeout_s=60)
        with pytest.raises(CheckpointEngineError) as raised:
            link.receive()
        assert raised.value.code == "CE_PEER_LOST"
        assert link.failure is raised.value
        link.close()


def test_an_abort_takes_precedence_over_unread_messages() -> None:
    def script(server: Connection) -> None:
        server.receive()
        server.send({"type": "bucket", "index": 0})
        server.send({"type": "abort", "error": {"code": "CE_TIMEOUT", "message": "rank 3 was lost", "hint": "x"}})
        assert server.receive() is None

    with FakeServer(script) as server:
        link = connect(server)
        with pytest.raises(CheckpointEngineError, match="rank 3 was lost") as raised:
            check_until_it_fails(link)
        assert raised.value.code == "CE_REMOTE_FAILED"
        with pytest.raises(CheckpointEngineError, match="rank 3 was lost"):
            link.receive()
        with pytest.raises(CheckpointEngineError, match="rank 3 was lost"):
            link.send({"type": "ready"})
        link.close()


def test_passes_on_the_error_for_a_wrong_key() -> None:
    def script(server: Connection) -> None:
        server.receive()
        refusal = {"code": "CE_TOKEN_REFUSED", "message": "The parameter server rejected the worker", "hint": "h"}
        server.send({"type": "abort", "error": refusal})

    with FakeServer(script) as server:
        link = connect(server)
        with pytest.raises(CheckpointEngineError) as raised:
            link.receive()
        assert raised.value.code == "CE_TOKEN_REFUSED"
        link.close()


@pytest.mark.parametrize(
    "frame",
    [b"\xff\xff\xff\xff", b"\x01\x00\x00\x00\xc1", b"\x01\x00\x00\x00\xc0", b"\x01\x00\x00\x00\x80"],
    ids=["size", "payload", "nil", "map without a type"],
)
def test_garbage_is_a_protocol_error(frame: bytes) -> None:
    def script(server: Connection) -> None:
        server.receive()
        server.socket.sendall(frame)
        server.socket.settimeout(10)
        server.receive()

    with FakeServer(script) as server:
        link = connect(server)
        with pytest.raises(CheckpointEngineError) as raised:
            link.receive()
        assert raised.value.code == "CE_WORKER_PROTOCOL"
        link.fail(raised.value)
        link.close()


def test_a_server_that_sends_ahead_breaks_the_protocol() -> None:
    def script(server: Connection) -> None:
        server.receive()
        for index in range(8):
            server.send({"type": "bucket", "index": index})
        server.receive()

    with FakeServer(script) as server:
        link = connect(server)
        with pytest.raises(CheckpointEngineError, match="are unread"):
            check_until_it_fails(link)
        link.close()


def test_every_wait_is_bounded() -> None:
    done = threading.Event()

    def script(server: Connection) -> None:
        server.receive()
        done.wait(10)

    with FakeServer(script) as server:
        link = connect(server, timeout_s=0.2)
        with pytest.raises(CheckpointEngineError) as raised:
            link.receive()
        assert raised.value.code == "CE_TIMEOUT"
        done.set()
        link.close()


def test_sends_its_own_error_with_the_end_of_its_traceback() -> None:
    told: list[dict[str, object]] = []

    def script(server: Connection) -> None:
        server.receive()
        message = server.receive()
        assert message
        told.append(message)

    with FakeServer(script) as server:
        link = connect(server)
        try:
            raise RuntimeError("x" * 500_000 + "the end")
        except RuntimeError as error:
            link.fail(error)
        link.close()
    fields = told[0]["error"]
    assert isinstance(fields, dict)
    assert fields["code"] == "CE_WORKER_FAILED"
    assert fields["detail"].rstrip().endswith("the end")


def test_reports_an_address_without_a_listener() -> None:
    with pytest.raises(CheckpointEngineError, match="No parameter server listens") as raised:
        ServerLink.connect(parse_address(f"ce2:ce2-nobody-{time.monotonic_ns()}?key={KEY}"), 1)
    assert raised.value.code == "CE_PEER_UNREACHABLE"
