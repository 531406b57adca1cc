"""Reconstructs tensors of a checkpoint from an engine, with the boxes of a recording. Imports torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from checkpoint_engine_worker.copying.casts import cast_source, live_view
from checkpoint_engine_worker.pull_types import TensorMeta
from checkpoint_engine_worker.recording.recording import (
    DESTINATION,
    DESTINATION_PITCH,
    OWNER,
    ROW_BYTES,
    ROWS,
    SOURCE,
    SOURCE_PITCH,
    TENSOR,
    Recording,
)
from checkpoint_engine_worker.tensors.tensor_map import span_bytes
from checkpoint_engine_worker.tensors.torch_dtypes import rows_of, torch_dtype


class LiveValues:
    """Returns tensors with the engine's values. Parts of a tensor that it does not keep are zero."""

    def __init__(self, recording: Recording, device: Any) -> None:
        self._recording = recording
        self._device = device
        self._order = np.argsort(recording.boxes[:, TENSOR], kind="stable")
        self._tensors = recording.boxes[self._order, TENSOR]

    def tensor(self, index: int, meta: TensorMeta) -> Any:
        """Returns one tensor of the checkpoint."""
        data = torch.zeros(meta.size_bytes, dtype=torch.uint8, device=self._device)
        first, last = np.searchsorted(self._tensors, [index, index + 1])
        for box in self._recording.boxes[self._order[first:last]].tolist():
            shape = (box[ROWS], box[ROW_BYTES])
            held = rows_of(self.bytes_of(box[OWNER]), box[DESTINATION], shape, box[DESTINATION_PITCH])
            rows_of(data, box[SOURCE], shape, box[SOURCE_PITCH]).copy_(held)
        for cast in self._recording.casts:
            if cast.tensor == index:
                cast_source(data, cast).copy_(live_view(self._recording, cast))
        return data.view(torch_dtype(meta.dtype)).view(meta.shape)

    def bytes_of(self, owner: int) -> Any:
        """Returns the bytes of one of the engine's tensors."""
        live = self._recording.live[owner]
        assert live is not None  # noqa: S101  only owners in use are direct
        return span_bytes(live.tensor)
