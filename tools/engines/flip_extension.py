"""The worker extension of `checkpoint-engine-worker`, with a method that damages a parameter, for tests."""

from __future__ import annotations

from typing import Any

import torch
from checkpoint_engine_worker.vllm_extension import WorkerExtension as _WorkerExtension


class WorkerExtension(_WorkerExtension):
    """Methods that vLLM adds to its worker class."""

    def flip_parameter_bits(self, name: str) -> int:
        """Flips the lowest bit of the first byte of a parameter. Returns the number of its bytes."""
        worker: Any = self
        data = worker.get_model().get_parameter(name).data.view(torch.uint8).view(-1)
        data[0] ^= 1
        return int(data.numel())
