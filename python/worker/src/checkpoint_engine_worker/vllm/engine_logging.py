"""Sends this package's log to the engine's handlers: engines configure their own loggers and not the root logger."""

from __future__ import annotations

import logging

_NAME = "checkpoint_engine_worker"


def log_like(engine: str) -> None:
    """Copies the handlers and the level of an engine's logger, unless this package's logger is already configured.

    Args:
        engine: The name of the engine's logger.
    """
    own, other = logging.getLogger(_NAME), logging.getLogger(engine)
    if own.handlers or not other.handlers:
        return
    for handler in other.handlers:
        own.addHandler(handler)
    own.setLevel(other.getEffectiveLevel())
    own.propagate = False
