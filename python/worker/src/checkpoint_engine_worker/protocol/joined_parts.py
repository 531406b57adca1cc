"""Joins messages that arrive in parts."""

from __future__ import annotations

from typing import Any

from checkpoint_engine_worker.protocol.messages import server_broke

#: Maximum number of parts of one message. Equal to `PULL_PART_LIMITS.parts`.
MAX_PARTS = 512


class JoinedParts:
    """Joins the parts of one message, which arrive in order."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._parts: list[dict[str, Any]] = []

    def take(self, message: dict[str, Any]) -> list[dict[str, Any]] | None:
        """Adds a part. Returns all parts after the last one.

        Raises:
            CheckpointEngineError: `CE_WORKER_PROTOCOL`: it is not the next part.
        """
        part, parts = message.get("part"), message.get("parts")
        wanted = self._parts[0]["parts"] if self._parts else parts
        is_next = (
            isinstance(part, int)
            and isinstance(parts, int)
            and part == len(self._parts)
            and parts == wanted
            and part < parts <= MAX_PARTS
        )
        if not is_next:
            raise server_broke(f"part {part} of {parts} of its {self._what} out of order")
        self._parts.append(message)
        if len(self._parts) < parts:  # type: ignore[operator]
            return None
        joined, self._parts = self._parts, []
        return joined
