"""The buffer that a server shares, mapped once and kept between updates while it stays the same."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from checkpoint_engine_worker.memory.cuda_memory import CudaMemory
from checkpoint_engine_worker.memory.host_memory import host_tensor, map_segment
from checkpoint_engine_worker.protocol.messages import server_broke

if TYPE_CHECKING:
    import torch

    from checkpoint_engine_worker.protocol.messages import Welcome

_LOG = logging.getLogger(__name__)

#: Time for which a mapping waits for the next update: it keeps memory in use that the server may have freed.
IDLE_S = 60.0


class SharedBuffer:
    """A mapped buffer."""

    def __init__(self, welcome: Welcome, device: torch.device) -> None:
        self._cuda: CudaMemory | None = None
        if welcome.device_kind == "host":
            # The last tensor that views the mapping releases it.
            self._tensor: torch.Tensor | None = host_tensor(map_segment(welcome.handle, welcome.size_bytes))
        elif welcome.device_kind == "cuda":
            self._cuda = CudaMemory(welcome.handle, welcome.size_bytes, device)
            self._tensor = self._cuda.tensor()
        else:
            raise server_broke(f'a welcome with device kind "{welcome.device_kind[:40]}"')

    @property
    def tensor(self) -> torch.Tensor:
        """The bytes."""
        if self._tensor is None:
            raise ValueError("The shared buffer is closed")
        return self._tensor

    def close(self) -> None:
        """Unmaps the buffer. Idempotent."""
        self._tensor = None
        if self._cuda:
            self._cuda.close()


class BufferKeeper:
    """Keeps the mapping of one device's buffer between updates. Safe to use from several threads."""

    def __init__(self, idle_s: float = IDLE_S) -> None:
        self._idle_s = idle_s
        self._lock = threading.Lock()
        self._kept: tuple[tuple[object, ...], SharedBuffer] | None = None
        self._timer: threading.Timer | None = None

    def open(self, welcome: Welcome, device: torch.device) -> SharedBuffer:
        """Maps the buffer, or uses the mapping that was kept for it."""
        kept = self._take()
        if kept and welcome.buffer_stays and kept[0] == _key(welcome):
            return kept[1]
        if kept:
            kept[1].close()
        return SharedBuffer(welcome, device)

    def end(self, buffer: SharedBuffer, welcome: Welcome, *, is_sound: bool) -> None:
        """Ends the use of a buffer. Keeps the mapping if the next update uses the same buffer.

        Args:
            buffer: The result of `open`.
            welcome: The argument of `open`.
            is_sound: The update has not failed so far.
        """
        if not (is_sound and welcome.buffer_stays):
            buffer.close()
            return
        self.close()
        with self._lock:
            self._kept = (_key(welcome), buffer)
            self._timer = threading.Timer(self._idle_s, self.close)
            self._timer.daemon = True
            self._timer.start()

    def close(self) -> None:
        """Unmaps the kept buffer. Idempotent."""
        kept = self._take()
        if kept:
            try:
                kept[1].close()
            except Exception:
                _LOG.warning("The shared buffer could not be unmapped", exc_info=True)

    def _take(self) -> tuple[tuple[object, ...], SharedBuffer] | None:
        with self._lock:
            kept, self._kept = self._kept, None
            if self._timer:
                self._timer.cancel()
            self._timer = None
        return kept


def _key(welcome: Welcome) -> tuple[object, ...]:
    return (welcome.device_kind, welcome.device_uuid, welcome.handle, welcome.size_bytes)
