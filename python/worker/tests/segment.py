"""Segments of shared memory like those of the parameter server's host device."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DIRECTORY = Path("/dev/shm")  # noqa: S108


@contextmanager
def segment(content: bytes, mode: int = 0o600) -> Iterator[bytes]:
    """Creates a segment with this content. Yields its handle."""
    # Segments of dead processes are removed, so the name contains the start time of this process.
    started = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    name = f"checkpoint-engine-{os.geteuid()}-{os.getpid()}-{started}-{secrets.token_hex(8)}"
    path = DIRECTORY / name
    path.write_bytes(content)
    path.chmod(mode)
    try:
        yield name.encode()
    finally:
        path.unlink(missing_ok=True)
