"""Lets this package's log go where the engine's goes: engines set up their own loggers and leave the root's alone."""

from __future__ import annotations

import logging

_NAME = "checkpoint_engine_worker"


def log_like(engine: str) -> None:
    """Takes over the handlers and the level of an engine's logger, unless somebody has set up this package's.

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
