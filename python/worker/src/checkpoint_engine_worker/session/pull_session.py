"""The part of a session that handles pulling: `worker-pull.ts` describes its messages."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any, Literal, Protocol

from checkpoint_engine_worker.errors import CheckpointEngineError
from checkpoint_engine_worker.protocol.joined_parts import JoinedParts
from checkpoint_engine_worker.protocol.messages import server_broke, unexpected
from checkpoint_engine_worker.protocol.pull_columns import (
    check_places,
    decode_places,
    decode_windows,
    needs_messages,
    summary_fields,
)
from checkpoint_engine_worker.protocol.pull_messages import read_metas, read_regions
from checkpoint_engine_worker.session.report_session import reported
from checkpoint_engine_worker.version import PROTOCOL_VERSION, PULL_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from checkpoint_engine_worker.protocol.server_link import ServerLink
    from checkpoint_engine_worker.pull.engine_puller import EnginePuller
    from checkpoint_engine_worker.pull_types import Places

_LOG = logging.getLogger(__name__)


class PullingSession(Protocol):
    """The part of an update session that pulling uses."""

    #: The state of the worker's weights before the session.
    state: Mapping[str, Any]
    #: Fields of the hello.
    offers: dict[str, Any]
    #: By the type of a message.
    handlers: dict[str, Callable[[dict[str, Any]], None]]

    @property
    def link(self) -> ServerLink:
        """The connection."""

    def check_device(self, uuid: str) -> None:
        """Raises `CheckpointEngineError` (`CE_ENGINE_MISMATCH`) if the address is for another device."""

    def name_update(self, checkpoint: str, update_id: str) -> None:
        """Sets the names for reports."""

    def touch(self) -> None:
        """Marks the model before the first write to it."""

    def count_bytes(self, size_bytes: int) -> None:
        """Counts bytes that arrived outside of buckets."""

    def end(self) -> None:
        """Ends the session after the server's last message."""

    def hold_link(self) -> ServerLink:
        """Ends the session, and leaves its connection open to the caller."""


class PullSession:
    """Adds the messages of a pull to a session."""

    def __init__(self, session: PullingSession, puller: EnginePuller) -> None:
        self._session = session
        self._puller = puller
        self._survey: dict[str, Any] | None = None
        self._was_known = False
        #: The server has the worker's needs.
        self._has_answered = False
        self._metas = JoinedParts("metas")
        self._regions = JoinedParts("regions")
        self._region_bytes: dict[int, int] = {}
        self._is_mapped = False
        self._next_pull = 0
        self._next_digest = 0
        #: The purpose of the session. `report` and `verify` change no weights, recordings and mapped regions.
        self._purpose: Literal["report", "verify", "load"] | None = None
        self.has_pulled = False
        session.offers["pull"] = {"version": PULL_VERSION, "provesParts": True, "reports": True, "digests": True}
        for kind in ("report", "survey", "metas", "regions", "pull", "prove", "digest", "bye"):
            session.handlers[kind] = getattr(self, f"_on_{kind}")

    @property
    def is_surveyed(self) -> bool:
        """Whether the server began with a survey: the session then ends with its bye."""
        return self._survey is not None

    def finish(self) -> None:
        """Recomputes the values that the engine derives from pulled weights."""
        if self.has_pulled:
            self._puller.refresh()

    def watch_load(self) -> None:
        """Prepares for a load of whole tensors."""
        if self.is_surveyed:
            self._puller.watch_load()

    def abandon(self, link: ServerLink) -> None:
        """Ends all use of the regions, and notifies the server."""
        if self._purpose == "report":
            return
        if self._purpose != "verify":
            self._puller.layouts.unmap()
        if self.is_surveyed:
            link.send_last({"type": "aborted"})

    def _on_report(self, _: dict[str, Any]) -> None:
        """Reports what is known. Does not change regions that another session has mapped."""
        if self._purpose is not None:
            raise unexpected("report")
        self._purpose = "report"
        self._session.link.send(reported(self._session.state, self._puller))

    def _on_survey(self, message: dict[str, Any]) -> None:
        texts = ("intent", "checkpoint", "updateId", "deviceUuid", "metasDigest")
        if self._purpose is not None or not all(isinstance(message.get(name), str) for name in texts):
            raise unexpected("survey")
        if message.get("protocol") != PROTOCOL_VERSION:
            raise server_broke("a survey of another protocol", message.get("protocol"))
        self._session.check_device(message["deviceUuid"])
        self._session.name_update(message["checkpoint"], message["updateId"])
        self._survey = message
        self._purpose = "verify" if message["intent"] == "verify" else "load"
        if self._purpose == "verify":
            self._puller.check_verifiable()
        else:
            self._puller.layouts.take_over()
        known = self._was_known = self._puller.knows(message["metasDigest"])
        if self._purpose == "verify" and not known:
            # A changed engine has lost its recording.
            self._puller.check_verifiable()
        self._session.link.send(
            {
                "type": "surveyed",
                "known": known,
                "proved": known and self._puller.is_proved,
                "fingerprint": self._puller.fingerprint,
            }
        )
        # Metas arrive in many parts, directly after each other.
        self._session.link.max_unread = 1024
        if known:
            self._send_needs()

    def _on_metas(self, message: dict[str, Any]) -> None:
        survey = self._survey
        if survey is None or self._was_known or self._has_answered:
            raise unexpected("metas")
        parts = self._metas.take(message)
        if parts is None:
            return
        tensors = [tensor for part in parts for tensor in read_metas(part)]
        if len(tensors) != survey.get("tensorCount"):
            raise server_broke(f"metas of {len(tensors)} tensors, but announced {survey.get('tensorCount')}")
        if self._purpose == "verify":
            raise self._puller.other_tensors(tensors)
        self._puller.learn(survey["metasDigest"], tensors)
        self._send_needs()

    def _on_regions(self, message: dict[str, Any]) -> None:
        if not self._has_answered:
            raise unexpected("regions")
        parts = self._regions.take(message)
        if parts is None:
            return
        layout, names = message.get("layoutDigest"), read_regions(message)
        if not isinstance(layout, str):
            raise unexpected("regions")
        self._region_bytes = {number: size for number, _, size in names}
        columns = [part["places"] for part in parts if isinstance(part.get("places"), dict)]
        places = self._places(columns) if columns else None
        self._is_mapped = self._puller.map(layout, names, places)
        self._session.link.send({"type": "mapped", "needPlaces": not self._is_mapped})

    def _on_pull(self, message: dict[str, Any]) -> None:
        if not self._is_mapped or message.get("index") != self._next_pull:
            raise unexpected("pull")
        columns = message.get("places")
        places = self._places([columns]) if isinstance(columns, dict) else None
        self._next_pull += 1
        self.has_pulled = True
        self._session.touch()
        started_at = time.monotonic()
        size_bytes = self._puller.pull(places)
        duration_ms = (time.monotonic() - started_at) * 1e3
        self._session.count_bytes(size_bytes)
        self._session.link.send(
            {"type": "pulled", "index": message["index"], "bytes": size_bytes, "durationMs": duration_ms}
        )

    def _on_prove(self, message: dict[str, Any]) -> None:
        if not self._is_mapped:
            raise unexpected("prove")
        columns = message.get("places")
        places = self._places([columns]) if isinstance(columns, dict) else None
        try:
            proved = self._puller.prove(places, is_last=message.get("more") is not True)
        except CheckpointEngineError as error:
            _LOG.warning("Nothing is pulled, because the proof failed: %s", error)
            proved = False
        _needs, summary = self._puller.needs()
        self._session.link.send({"type": "proved", "proved": proved, "summary": summary_fields(summary)})

    def _on_digest(self, message: dict[str, Any]) -> None:
        if not self._has_answered or message.get("index") != self._next_digest:
            raise unexpected("digest")
        self._next_digest += 1
        try:
            windows = decode_windows(message, self._puller.sizes_bytes)
        except ValueError as error:
            raise server_broke(str(error)) from error
        digests, held = self._puller.digests(windows)
        self._session.link.send(
            {
                "type": "digested",
                "index": message["index"],
                "digest": digests.astype("<u8").tobytes(),
                "bytes": held.astype("<u8").tobytes(),
            }
        )

    def _on_bye(self, message: dict[str, Any]) -> None:
        if self._purpose is None:
            raise unexpected("bye")
        if self._purpose in ("report", "verify"):
            self._session.end()
        elif message.get("keep") is True and self._is_mapped:
            _unmap_when_closed(self._session.hold_link(), self._puller)
        else:
            self._puller.layouts.unmap()
            self._session.end()

    def _send_needs(self) -> None:
        self._has_answered = True
        needs, summary = self._puller.needs()
        for part in needs_messages(needs, summary):
            self._session.link.send(part)

    def _places(self, columns: list[dict[str, Any]]) -> Places:
        try:
            places = decode_places(columns)
            check_places(places, self._puller.sizes_bytes, self._region_bytes)
        except ValueError as error:
            raise server_broke(str(error)) from error
        return places


def _unmap_when_closed(link: ServerLink, puller: EnginePuller) -> None:
    """Keeps the regions until the server disconnects, after which its memory may change."""
    release = puller.layouts.hold()

    def watch() -> None:
        link.until_closed()
        release()
        link.close()

    threading.Thread(target=watch, name="checkpoint-engine-regions", daemon=True).start()
