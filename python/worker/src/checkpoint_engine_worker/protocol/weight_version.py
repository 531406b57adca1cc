"""Versions of weights, as in `weight-version.ts` of the package `@checkpoint-engine/interface`."""

from __future__ import annotations

import re

#: Replaces the version of a worker that may have old and new weights, or weights of another origin.
UNKNOWN_VERSION = "unknown"

_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+/@=-]{0,127}", re.ASCII)


def is_weight_version(text: object) -> bool:
    """Returns whether a value is a valid version of weights."""
    return isinstance(text, str) and text.lower() != UNKNOWN_VERSION and _PATTERN.fullmatch(text) is not None
