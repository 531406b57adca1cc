"""Recordings on disk: an engine's loader does the same with a list of tensors in its next process. No torch.

Only recordings are kept, never a proof: each process compares with its own live parameters before anything is pulled.
A file that cannot be used is ignored with a line in the log, and written again.
"""

from __future__ import annotations

import logging
import os
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from checkpoint_engine_worker.recording.notes_file import FORMAT, decode_notes, encode_notes

if TYPE_CHECKING:
    from checkpoint_engine_worker.pull_types import TensorMeta
    from checkpoint_engine_worker.recording.layer_notes import Notes
    from checkpoint_engine_worker.recording.recording import OwnerInfo

_LOG = logging.getLogger(__name__)

#: The value 0 disables the cache.
SWITCH = "CHECKPOINT_ENGINE_RECORDINGS"

#: The oldest files beyond these limits are removed: each rank of each engine and model has a file of a few MiB.
_MAX_FILES = 256
_MAX_BYTES = 1 << 30


class RecordingCache:
    """A folder of recordings.

    Args:
        folder: Created with the first recording. Files of other users, and files that other users may write to, are
        ignored.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, key: str, owners: Sequence[OwnerInfo], tensors: Sequence[TensorMeta]) -> Notes | None:
        """Returns the recording of a key, or None if there is no usable one.

        Args:
            key: The fingerprint of engine and list of tensors.
            owners: The current tensors of the engine.
            tensors: The list.
        """
        path = self._path(key)
        try:
            data = _read_own(path)
            notes = decode_notes(data, key, owners, tensors)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            _LOG.warning("The recording in %s is ignored: %s", path, error)
            return None
        try:
            os.utime(path)
        except OSError:
            _LOG.debug("The time of %s cannot be set", path)
        return notes

    def keep(self, key: str, notes: Notes, owners: Sequence[OwnerInfo]) -> None:
        """Writes a recording completely, or not at all. A folder that cannot be written to is not an error."""
        path = self._path(key)
        try:
            self.folder.mkdir(parents=True, mode=0o700, exist_ok=True)
            data = encode_notes(notes, key, owners)
            handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=self.folder)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                os.replace(name, path)
            except BaseException:
                os.unlink(name)
                raise
            self._remove_oldest()
        except OSError as error:
            _LOG.info("The recording is not kept: %s", error)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.rec"

    def _remove_oldest(self) -> None:
        found = sorted(self.folder.glob("*.rec"), key=_modified_ns)
        for path in found[: max(0, len(found) - _MAX_FILES)]:
            path.unlink(missing_ok=True)


def user_cache() -> RecordingCache | None:
    """Returns this user's cache, `$XDG_CACHE_HOME/checkpoint-engine/recordings-1`; None if it is disabled."""
    if os.environ.get(SWITCH) == "0":
        return None
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):  # as the specification of XDG_CACHE_HOME demands
        home = os.path.expanduser("~")
        if not os.path.isabs(home):
            return None
        base = os.path.join(home, ".cache")
    return RecordingCache(Path(base) / "checkpoint-engine" / f"recordings-{FORMAT}")


def _read_own(path: Path) -> bytes:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("it is not a file")
        if found.st_uid != os.geteuid():
            raise ValueError(f"it belongs to user {found.st_uid}")
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ValueError("other users may write to it")
        if found.st_size > _MAX_BYTES:
            raise ValueError(f"it has {found.st_size} bytes")
        return file.read(_MAX_BYTES + 1)


def _modified_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
