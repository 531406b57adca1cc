"""A session that only reports the state of a worker, for engines that cannot query their workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from checkpoint_engine_worker.protocol.address import parse_address
from checkpoint_engine_worker.protocol.messages import message_type, unexpected
from checkpoint_engine_worker.protocol.server_link import ServerLink
from checkpoint_engine_worker.version import PULL_VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from checkpoint_engine_worker.pull.engine_puller import EnginePuller


def reported(state: Mapping[str, Any], puller: EnginePuller | None) -> dict[str, Any]:
    """The message `reported`.

    Args:
        state: The worker's description of itself.
        puller: The worker's puller; `None` if pulling is off.
    """
    told = {name: value for name, value in state.items() if name not in ("protocols", "error")}
    decided = puller.describe() if puller else {"recorded": False, "proved": False, "engine": "", "pulls": False}
    return {"type": "reported", **told, **decided}


def report(address: str, state: Mapping[str, Any], puller: EnginePuller | None, timeout_s: float) -> None:
    """Reports the state of this worker to a server. Nothing is loaded, recorded, mapped or written.

    Args:
        address: Where the server waits.
        state: The worker's description of itself.
        puller: The worker's puller; `None` if pulling is off.
        timeout_s: Bounds each wait for the server.

    Raises:
        CheckpointEngineError: `CE_PEER_UNREACHABLE`, `CE_PEER_LOST`, `CE_TIMEOUT`, `CE_WORKER_PROTOCOL`.
    """
    offers = {"holds": state.get("weightVersion"), "pull": {"version": PULL_VERSION, "reports": True}}
    link = ServerLink.connect(parse_address(address), timeout_s, offers)
    try:
        _expect(link, "report")
        link.send(reported(state, puller))
        _expect(link, "bye")
    except Exception as error:
        raise link.fail(error) from error
    finally:
        link.close()


def _expect(link: ServerLink, wanted: str) -> None:
    kind = message_type(link.receive())
    if kind != wanted:
        raise unexpected(kind)
