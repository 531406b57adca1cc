"""What pulls for a vLLM worker."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from checkpoint_engine_worker.vllm_sleep import VllmMemory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from checkpoint_engine_worker.engine_puller import EnginePuller

_LOG = logging.getLogger(__name__)

#: Set to 0, it makes workers take all weights through the engine's loader.
SWITCH = "CHECKPOINT_ENGINE_PULL"


def vllm_puller(
    models: Sequence[tuple[Any, Any]], vllm_config: Any, device: Any, runner: Any = None
) -> EnginePuller | None:
    """The puller of a worker, to be kept as long as the worker; `None` where pulling is switched off.

    Args:
        models: The models that take the weights, each with its configuration.
        vllm_config: The engine's.
        device: The worker's.
        runner: The worker's model runner, where it is known.
    """
    if os.environ.get(SWITCH) == "0":
        return None
    try:
        from checkpoint_engine_worker.engine_puller import EnginePuller
        from checkpoint_engine_worker.vllm_finish import derives, prepare_refresh
        from checkpoint_engine_worker.vllm_recording import expert_placement, model_config_digest, vllm_engine
    except ImportError as error:
        _LOG.info("Weights are not pulled: %s", error)
        return None
    # It takes longer than all other facts, and a worker's model keeps its configuration.
    config = {"config": model_config_digest(vllm_config)}
    return EnginePuller(
        engine=lambda: vllm_engine(models, vllm_config, device, {**config, **expert_placement(runner)}),
        prepare_refresh=lambda: prepare_refresh(models, vllm_config, device, runner),
        is_refreshed=derives,
        memory=VllmMemory(device),
    )
