"""Refreshes what a vLLM worker derives from weights, after a pull wrote them without its loaders.

An update that goes through vLLM's layerwise reload does not need it: the reload's end does the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from checkpoint_engine_worker.vllm_recording import vllm_context
from checkpoint_engine_worker.vllm_tied import refresh_tied


def refresh_derived(models: Sequence[tuple[Any, Any]], vllm_config: Any, device: Any, runner: Any = None) -> int:
    """Recomputes MLA's absorbed matrices and attention's scales in place. Returns the number of layers that were asked.

    `runner` is the worker's model runner: what its adapters derived from weights is reset.
    """
    count = 0
    with vllm_context(vllm_config, device):
        for model, config in models:
            refresh_tied(model)
            for module in model.modules():
                if derives(module):
                    module.process_weights_after_loading(config.dtype)
                    count += 1
    for name in ("reset_lora_state", "reset_mm_cache", "reset_encoder_cache"):
        reset = getattr(runner, name, None)
        if callable(reset):
            reset()
    return count


def derives(module: Any) -> bool:
    """Whether a module is an attention layer that computes values from weights after all other layers are loaded.

    vLLM's plain attention layer computes none if its backend inherits the empty hook: it only sets scales to a
    constant. The proof finds other values of such a layer that change, as for all modules that are not refreshed.
    """
    if not callable(getattr(module, "process_weights_after_loading", None)) or _sets_constants(module):
        return False
    try:
        from vllm.model_executor.layers.attention import is_deferred_attention_layer
    except ImportError:
        return type(module).__name__ in ("Attention", "MLAAttention", "MMEncoderAttention")
    return bool(is_deferred_attention_layer(module))


def _sets_constants(module: Any) -> bool:
    """Both hooks are known by the modules of vLLM that define them; others may derive anything."""
    layer_hook = getattr(type(module), "process_weights_after_loading", None)
    backend_hook = getattr(type(getattr(module, "impl", None)), "process_weights_after_loading", None)
    return (
        getattr(layer_hook, "__qualname__", "") == "Attention.process_weights_after_loading"
        and getattr(layer_hook, "__module__", "") == "vllm.model_executor.layers.attention.attention"
        and getattr(backend_hook, "__module__", "") == "vllm.v1.attention.backend"
    )
