"""Shared memory of the host: segments on a tmpfs that the parameter server creates."""

from __future__ import annotations

import mmap
import os
import re
import stat
from typing import TYPE_CHECKING

from checkpoint_engine_worker.errors import CheckpointEngineError
from checkpoint_engine_worker.tensors.torch_module import torch_module

if TYPE_CHECKING:
    import torch

#: The default directory of the segments of the parameter server's host device.
SHARED_DIRECTORY = "/dev/shm"  # noqa: S108 - the handle names a file that is checked below

_NAME = re.compile(r"checkpoint-engine-\d+-\d+-\d+-[0-9a-f]{16}")


def map_segment(
    handle: bytes, size_bytes: int, directory: str = SHARED_DIRECTORY, *, writable: bool = True
) -> mmap.mmap:
    """Maps a segment that a process of the same user shares.

    Args:
        handle: The segment's name, from `Memory.handle` of the npm package `@checkpoint-engine/device`.
        size_bytes: Number of bytes to map.
        directory: The tmpfs.
        writable: Whether to map it writable. torch warns about tensors in read-only memory, so buffers are writable.

    Raises:
        CheckpointEngineError: `CE_SHM_FAILED`.
    """
    name = handle.decode("ascii", "replace")

    def refused(why: str) -> CheckpointEngineError:
        return CheckpointEngineError(
            "CE_SHM_FAILED",
            f'Shared memory "{name}" in {directory} was refused: {why}',
            "Run the engine as the parameter server's user, on its host, with the same /dev/shm (--ipc=host)",
        )

    if not _NAME.fullmatch(name):
        raise refused("the handle is not the name of a segment")
    flags = (os.O_RDWR if writable else os.O_RDONLY) | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        fd = os.open(os.path.join(directory, name), flags)
    except OSError as error:
        raise refused(str(error)) from error
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise refused("it is not a regular file")
        if found.st_uid != os.geteuid():
            raise refused(f"it belongs to user {found.st_uid}")
        if stat.S_IMODE(found.st_mode) != 0o600:
            raise refused("its mode is not 0600")
        if not 0 < size_bytes <= found.st_size:
            raise refused(f"it has {found.st_size} bytes, not {size_bytes}")
        access = mmap.PROT_READ | mmap.PROT_WRITE if writable else mmap.PROT_READ
        return mmap.mmap(fd, size_bytes, mmap.MAP_SHARED, access)
    except OSError as error:
        raise refused(str(error)) from error
    finally:
        os.close(fd)


def host_tensor(mapping: mmap.mmap) -> torch.Tensor:
    """Returns the bytes of a mapping as a tensor, which keeps the mapping alive."""
    torch = torch_module()
    return torch.frombuffer(mapping, dtype=torch.uint8)
