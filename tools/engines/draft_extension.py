"""Worker extensions that report digests of the parameters of the main model and of the draft model."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from checkpoint_engine_worker.vllm_extension import WorkerExtension, _draft_model, _target_model


class DigestExtension:
    """For `--worker-extension-cls`, if the weight-transfer backend receives."""

    def parameter_digests(self) -> dict[str, dict[str, str]]:
        """By model, the digests of its parameters by name."""
        models = {"target": _target_model(self), "draft": _draft_model(self)}
        return {name: _digests(model) for name, model in models.items() if model is not None}


def _digests(model: torch.nn.Module) -> dict[str, str]:
    # Engines on CPUs pack some weights into separate memory, and leave parameters without elements.
    named = model.named_parameters(remove_duplicate=False)
    return {name: _digest(parameter) for name, parameter in named if parameter.numel() > 0}


def _digest(tensor: Any) -> str:
    data = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return hashlib.sha256(data.tobytes()).hexdigest()


class DraftExtension(DigestExtension, WorkerExtension):
    """The same with the receiver."""
