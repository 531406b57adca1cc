"""The entry point of group `vllm.general_plugins`: vLLM calls it in each of its processes, several times in some."""

from __future__ import annotations

import logging

from checkpoint_engine_worker.vllm.engine_logging import log_like

_LOG = logging.getLogger(__name__)

BACKEND = "checkpoint_engine"


def register() -> None:
    """Adds the weight-transfer backend `checkpoint_engine` if this release of vLLM has a registry for backends."""
    try:
        from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory
    except ImportError:
        _LOG.debug("This release of vLLM has no weight-transfer backends: use the worker extension")
        return
    log_like("vllm")
    if BACKEND in WeightTransferEngineFactory._registry:
        return
    WeightTransferEngineFactory.register_engine(
        BACKEND, "checkpoint_engine_worker.vllm.backend", "CheckpointEngineBackend"
    )
