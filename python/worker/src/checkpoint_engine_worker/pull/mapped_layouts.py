"""The layouts that stay mapped between the updates of a worker."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from checkpoint_engine_worker.pull.mapped_layout import MappedLayout

if TYPE_CHECKING:
    from checkpoint_engine_worker.pull_types import Places, RegionName

#: Number of layouts that stay mapped: a server has a few checkpoints at a time, and page-locking one takes seconds.
_MAX_LAYOUTS = 4


class MappedLayouts:
    """Maps the memory of servers, and keeps it mapped while a session or a connection holds it."""

    def __init__(self) -> None:
        #: The layout of the current session.
        self.current: MappedLayout | None = None
        #: By name, the most recently used one at the end.
        self._layouts: dict[str, MappedLayout] = {}
        self._lock = threading.RLock()
        #: The object that keeps the regions mapped between sessions.
        self._holder: object | None = None

    def map(
        self, name: str, regions: Iterable[RegionName], places: Places | None, device: Callable[[], Any]
    ) -> MappedLayout | None:
        """Makes a layout the current one, and maps its regions if they are not mapped yet.

        Args:
            name: Identifies regions and places together.
            regions: The regions to map.
            places: The contents of the regions. Absent if the layout may already be known.
            device: Returns the device that copies from the regions.

        Returns:
            The layout; `None` if it is not known, and its places are absent.
        """
        known = self._layouts.pop(name, None)
        if known is None:
            if places is None:
                return None
            for oldest in list(self._layouts)[: max(0, len(self._layouts) + 1 - _MAX_LAYOUTS)]:
                self._layouts.pop(oldest).close()
            known = MappedLayout(regions, places, device())
        self._layouts[name] = self.current = known
        return known

    def unmap(self) -> None:
        """Ends the use of all regions. Idempotent."""
        with self._lock:
            self._holder = self.current = None
            while self._layouts:
                self._layouts.popitem()[1].close()

    def hold(self) -> Callable[[], None]:
        """Leaves the regions mapped. Returns a function that unmaps them, unless a session has taken them over."""
        holder = object()
        with self._lock:
            self._holder = holder

        def release() -> None:
            with self._lock:
                if self._holder is holder:
                    self.unmap()

        return release

    def take_over(self) -> None:
        """Begins a session, which takes over the regions."""
        with self._lock:
            self._holder = None

    def close_tables(self) -> None:
        """Ends the use of the copies that were prepared. Idempotent."""
        for layout in self._layouts.values():
            layout.close_table()
