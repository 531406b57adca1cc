"""Names of versions of weights: as `weight-version.ts` of the package interface has them."""

from __future__ import annotations

import re

#: What stands in place of a version where a worker may hold old and new weights, or weights of another origin.
UNKNOWN_VERSION = "unknown"

_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+/@=-]{0,127}", re.ASCII)


def is_weight_version(text: object) -> bool:
    """Whether a value can name a version of weights."""
    return isinstance(text, str) and text.lower() != UNKNOWN_VERSION and _PATTERN.fullmatch(text) is not None
