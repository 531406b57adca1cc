"""Copies that convert, such as a bias kept in F32 by an engine and in BF16 by a checkpoint. Imports torch.

They are small: the bytes of a tensor are gathered in host memory, and torch converts them when all have arrived.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from checkpoint_engine_worker.pull_types import MappedRegion, Places
from checkpoint_engine_worker.recording.recording import CastNote, Recording
from checkpoint_engine_worker.tables.pieces import place_addresses
from checkpoint_engine_worker.tensors.torch_dtypes import as_bytes

#: Tensors whose conversions would take more than this in host memory go through the engine's loader.
MAX_CAST_BYTES = 256 << 20


class CastPull:
    """Gathers the tensors of some conversions and executes or checks them."""

    def __init__(self, recording: Recording, casts: Sequence[CastNote]) -> None:
        self._recording = recording
        self._by_tensor: dict[int, list[CastNote]] = {}
        for cast in casts:
            self._by_tensor.setdefault(cast.tensor, []).append(cast)
        self._gathered: dict[int, tuple[Any, int]] = {}

    def pull(self, places: Places, regions: Mapping[int, MappedRegion]) -> int:
        """Takes the bytes of these places, converts complete tensors, and returns the number of bytes taken."""
        taken = 0
        for tensor, data in self._take(places, regions).items():
            taken += data.numel()
            for cast in self._by_tensor[tensor]:
                live_view(self._recording, cast).copy_(cast_source(data, cast))
        return taken

    def equal(self, places: Places, regions: Mapping[int, MappedRegion]) -> dict[CastNote, bool]:
        """Returns for each conversion with all of its bytes whether the engine holds its result."""
        found = {}
        for tensor, data in self._take(places, regions).items():
            for cast in self._by_tensor[tensor]:
                live = self._recording.live[cast.owner]
                if live is not None:
                    held = live_view(self._recording, cast)
                    wanted = torch.empty_like(held).copy_(cast_source(data, cast))
                    found[cast] = torch.equal(as_bytes(held), as_bytes(wanted))
        return found

    def _take(self, places: Places, regions: Mapping[int, MappedRegion]) -> dict[int, Any]:
        """Returns the tensors that become complete with these places, as bytes."""
        if not self._by_tensor:
            return {}
        complete = {}
        chosen = np.flatnonzero(np.isin(places.tensor, list(self._by_tensor)))
        addresses = place_addresses(places, regions)
        for i in chosen.tolist():
            tensor, size = int(places.tensor[i]), int(places.size[i])
            whole = self._recording.tensors[tensor].size_bytes
            data, held = self._gathered.pop(tensor, (None, 0))
            if data is None:
                data = torch.empty(whole, dtype=torch.uint8)
            at = int(places.tensor_offset[i])
            if at < 0 or at + size > whole:
                raise ValueError(f"A place holds bytes {at} to {at + size} of a tensor of {whole} bytes")
            ctypes.memmove(data.data_ptr() + at, int(addresses[i]), size)
            if held + size >= whole:
                complete[tensor] = data
            else:
                self._gathered[tensor] = (data, held + size)
        return complete


def cast_source(data: Any, cast: CastNote) -> Any:
    """Returns the part that a conversion reads from a contiguous tensor."""
    return torch.as_strided(data.view(cast.source_dtype), cast.shape, cast.source_strides, cast.source_offset)


def live_view(recording: Recording, cast: CastNote) -> Any:
    """Returns the tensor in which the engine keeps the result of a conversion."""
    live = recording.live[cast.owner]
    assert live is not None  # noqa: S101  only owners in use are direct
    storage = live.tensor.untyped_storage()
    item = torch.empty((), dtype=cast.dtype).element_size()
    first = live.tensor.data_ptr() - storage.data_ptr() + cast.offset_bytes
    whole = torch.empty(0, dtype=cast.dtype, device=live.tensor.device).set_(storage, first // item, (0,), (1,))
    return torch.as_strided(whole, cast.shape, cast.strides, first // item)
