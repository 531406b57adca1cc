"""Segments of shared memory as the host device of the parameter server makes them."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DIRECTORY = Path("/dev/shm")  # noqa: S108


@contextmanager
def segment(content: bytes, mode: int = 0o600) -> Iterator[bytes]:
    """A segment with this content. Gives its handle."""
    name = f"checkpoint-engine-{os.geteuid()}-{os.getpid()}-1-{secrets.token_hex(8)}"
    path = DIRECTORY / name
    path.write_bytes(content)
    path.chmod(mode)
    try:
        yield name.encode()
    finally:
        path.unlink(missing_ok=True)
