"""Creates the puller of a vLLM worker."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from checkpoint_engine_worker.vllm.sleep import VllmMemory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from checkpoint_engine_worker.pull.engine_puller import EnginePuller

_LOG = logging.getLogger(__name__)

#: The value 0 sends all weights through the engine's loader.
SWITCH = "CHECKPOINT_ENGINE_PULL"


def vllm_puller(
    models: Sequence[tuple[Any, Any]], vllm_config: Any, device: Any, runner: Any = None
) -> EnginePuller | None:
    """Returns the puller of a worker, which lives as long as the worker; `None` if pulling is disabled.

    Args:
        models: The models that take the weights, each with its configuration.
        vllm_config: The engine's configuration.
        device: The worker's device.
        runner: The worker's model runner, if it is known.
    """
    if os.environ.get(SWITCH) == "0":
        return None
    try:
        from checkpoint_engine_worker.pull.engine_puller import EnginePuller
        from checkpoint_engine_worker.vllm.finish import derives, prepare_refresh
        from checkpoint_engine_worker.vllm.recording import expert_placement, model_config_digest, vllm_engine
    except ImportError as error:
        _LOG.info("Weights are not pulled: %s", error)
        return None
    # Computed once, because it takes longer than all other facts and does not change for a worker.
    config = {"config": model_config_digest(vllm_config)}
    return EnginePuller(
        engine=lambda: vllm_engine(models, vllm_config, device, {**config, **expert_placement(runner)}),
        prepare_refresh=lambda: prepare_refresh(models, vllm_config, device, runner),
        is_refreshed=derives,
        memory=VllmMemory(device),
    )
