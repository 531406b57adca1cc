"""A worker extension for vLLM, of any release that has `/collective_rpc`:
`--worker-extension-cls checkpoint_engine_worker.vllm_extension.WorkerExtension`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from checkpoint_engine_worker.receiver import Receiver
from checkpoint_engine_worker.session.update_session import DEFAULT_TIMEOUT_S
from checkpoint_engine_worker.vllm.engine_logging import log_like
from checkpoint_engine_worker.vllm.puller import vllm_puller
from checkpoint_engine_worker.vllm.sleep import VllmMemory, watch_sleep
from checkpoint_engine_worker.vllm.target import VllmTarget, kept_draft, shares_checkpoint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from checkpoint_engine_worker.pull.engine_puller import EnginePuller


# A worker imports this module before it can sleep, and creates its receiver on the first request.
watch_sleep()


class WorkerExtension:
    """Methods that vLLM adds to its worker class. Their names must differ from those of the worker's methods."""

    def checkpoint_engine_describe(self) -> dict[str, Any]:
        """Describes this worker and its weights, for a parameter server that checks the engine before an update."""
        puller = _puller_of(self, _models_of(self))
        pull = puller.describe() if puller else None
        worker: Any = self
        return {
            **_receiver_of(self).describe(),
            "loads": "extension",
            "keptDraft": kept_draft(worker.vllm_config),
            "cachesEncoder": bool(getattr(worker.model_runner, "supports_mm_inputs", False)),
            "pull": pull,
        }

    def checkpoint_engine_update(self, handles: Mapping[str, str], timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        """Receives one update.

        Args:
            handles: The addresses of all workers by device UUID.
            timeout_s: Bounds each wait for the parameter server.
        """
        worker: Any = self
        models = _models_of(worker)
        puller = _puller_of(worker, models)
        target = VllmTarget(models, worker.vllm_config, worker.device, puller=puller)
        update = _receiver_of(self).receive(handles, target, timeout_s, puller)
        reset_lora_state = getattr(worker.model_runner, "reset_lora_state", None)
        # A session that only prepares or verifies does not change the adapters.
        if update.is_loaded and callable(reset_lora_state):
            reset_lora_state()


def _receiver_of(worker: Any) -> Receiver:
    receiver = worker.__dict__.get("_checkpoint_engine_receiver")
    if not isinstance(receiver, Receiver):
        log_like("vllm")
        receiver = Receiver(worker.device, worker.local_rank, VllmMemory(worker.device))
        worker._checkpoint_engine_receiver = receiver
    return receiver


def _models_of(worker: Any) -> list[tuple[Any, Any]]:
    """Returns the models that one checkpoint fills, each with its configuration."""
    models = [(_target_model(worker), worker.vllm_config.model_config)]
    draft = _draft_model(worker)
    if draft is not None and shares_checkpoint(worker.vllm_config):
        models.append((draft, worker.vllm_config.speculative_config.draft_model_config))
    return models


def _puller_of(worker: Any, models: list[tuple[Any, Any]]) -> EnginePuller | None:
    """Returns the worker's puller, and makes another one if the worker has replaced a model."""
    made: tuple[list[Any], EnginePuller | None] | None = worker.__dict__.get("_checkpoint_engine_puller")
    current = [model for model, _ in models]
    if made is not None:
        filled, puller = made
        if len(filled) == len(current) and all(old is new for old, new in zip(filled, current, strict=True)):
            return puller
        if puller is not None:
            puller.layouts.unmap()
    puller = vllm_puller(models, worker.vllm_config, worker.device, worker.model_runner)
    worker._checkpoint_engine_puller = (current, puller)
    return puller


def _target_model(worker: Any) -> Any:
    get_model = getattr(worker, "get_model", None)
    return get_model() if callable(get_model) else worker.model_runner.model


def _draft_model(worker: Any) -> Any:
    """Returns the draft model; its attribute differs between releases."""
    for owner in (worker, worker.model_runner):
        get_draft_model = getattr(owner, "get_draft_model", None)
        if callable(get_draft_model):
            try:
                return get_draft_model()
            except AttributeError:
                # The worker has the method, but its runner does not.
                continue
    return getattr(getattr(worker.model_runner, "drafter", None), "model", None)
