"""The model of a vLLM worker, and its draft model if both are in one checkpoint, as the target of an update."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from checkpoint_engine_worker.target import copies, synchronize
from checkpoint_engine_worker.tensors.torch_module import torch_module
from checkpoint_engine_worker.vllm import reload as vllm_reload
from checkpoint_engine_worker.vllm.load import LoadedNames, load_weights

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch

    from checkpoint_engine_worker.pull.engine_puller import EnginePuller

_LOG = logging.getLogger(__name__)


class VllmTarget:
    """Loads through vLLM's own loaders.

    Args:
        models: The models that receive the weights, each with its configuration. The first is the target model.
        vllm_config: The engine's configuration.
        device: The worker's device.
        target: The target model, if `models` has only a draft model.
        puller: Pulls parts of the checkpoint once they are proved.
    """

    def __init__(
        self,
        models: list[tuple[torch.nn.Module, Any]],
        vllm_config: Any,
        device: torch.device,
        target: torch.nn.Module | None = None,
        puller: EnginePuller | None = None,
    ) -> None:
        self._models = models
        self._vllm_config = vllm_config
        self._device = device
        self._reloads: list[vllm_reload.LayerwiseReload] = []
        self._puller = puller
        self._loaded = [LoadedNames() for _ in models]
        #: If the last model is a draft model, the model with which it may share parameters.
        self._target = models[0][0] if len(models) > 1 else target

    def begin(self) -> None:
        """Chooses how to load, and prepares the models."""
        reasons = [vllm_reload.needs_reload(model, self._device) for model, _ in self._models]
        reason = next((reason for reason in reasons if reason), None)
        _LOG.info("Loading %s", f"layer by layer: {reason}" if reason else "straight into the parameters")
        if reason:
            with self._context():
                for model, config in self._models:
                    self._reloads.append(vllm_reload.LayerwiseReload(model, config, self._device))

    def load(self, tensors: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Loads the tensors of one bucket into each model."""
        with self._context():
            # The reload keeps tensors until their layer is complete.
            given = copies(tensors) if self._reloads else tensors
            if len(self._models) > 1:
                given = list(given)
            for i, (model, _) in enumerate(self._models):
                self._loaded[i].add(load_weights(model, given))
        synchronize(self._device)

    def finish(self) -> None:
        """Converts the remaining layers, and refreshes values that are derived from weights."""
        from checkpoint_engine_worker.vllm.tied import refresh_tied

        with self._context():
            for reload in self._reloads:
                reload.finalize()
            for model, _ in self._models:
                refresh_tied(model)
        synchronize(self._device)
        self._say_what_is_kept()

    def _say_what_is_kept(self) -> None:
        """Reports a draft model of the target's checkpoint if this checkpoint has none of its tensors."""
        if self._target is None or (self._puller is not None and self._puller.is_proved):
            return
        if self._loaded[-1].is_without(self._target, self._models[-1][0]):
            _LOG.warning("The checkpoint has no tensors of the draft model, which keeps its weights")

    def abort(self) -> None:
        """Restores the kernels' memory."""
        synchronize(self._device)
        with self._context():
            for reload in self._reloads:
                reload.abandon()

    def _context(self) -> Any:
        return _Context(self._vllm_config, self._device)


class _Context:
    """Sets the context of vLLM's loaders: the configuration, the default device, no gradients."""

    def __init__(self, vllm_config: Any, device: torch.device) -> None:
        from contextlib import ExitStack

        from vllm.config import set_current_vllm_config

        self._stack = ExitStack()
        self._parts = (set_current_vllm_config(vllm_config), torch_module().device(device), torch_module().no_grad())

    def __enter__(self) -> None:
        for part in self._parts:
            self._stack.enter_context(part)

    def __exit__(self, *raised: object) -> None:
        self._stack.close()


#: Methods of speculation without weights. For some of them, vLLM reports the target model as the draft model.
_WITHOUT_WEIGHTS = frozenset({"ngram", "ngram_gpu", "suffix", "custom_class", "extract_hidden_states"})


def shares_checkpoint(vllm_config: Any) -> bool:
    """Returns whether the draft model is part of the target's checkpoint, as with MTP."""
    draft = _draft_config(vllm_config)
    return draft is not None and _source(draft) == _source(vllm_config.model_config)


def kept_draft(vllm_config: Any) -> str | None:
    """Returns the checkpoint of a draft model that an update of the target does not change."""
    draft = _draft_config(vllm_config)
    return None if draft is None or shares_checkpoint(vllm_config) else str(_source(draft))


def _draft_config(vllm_config: Any) -> Any:
    speculative = getattr(vllm_config, "speculative_config", None)
    if getattr(speculative, "method", None) in _WITHOUT_WEIGHTS:
        return None
    return getattr(speculative, "draft_model_config", None)


def _source(model_config: Any) -> object:
    """Returns where a model comes from. `model` is a local copy if `model_weights` has an address."""
    return getattr(model_config, "model_weights", None) or model_config.model
