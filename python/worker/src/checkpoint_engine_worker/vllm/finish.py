"""Refreshes the values that a vLLM worker derives from weights, after a pull has bypassed its loaders.

An update through vLLM's layerwise reload does not need it: the end of the reload does the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from checkpoint_engine_worker.vllm.recording import vllm_context
from checkpoint_engine_worker.vllm.tied import tied_modules


def prepare_refresh(
    models: Sequence[tuple[Any, Any]], vllm_config: Any, device: Any, runner: Any = None
) -> Callable[[], int]:
    """Finds MLA's absorbed matrices, attention's scales and copies of tied weights.

    `runner` is the worker's model runner, whose adapters' derived values are reset. Its request caches are not reset,
    because vLLM's scheduler tracks their contents: only the engine can flush them.

    Returns:
        A function that computes them again in place and returns the number of refreshed modules. It is valid while the
        modules stay the same.
    """
    with vllm_context(vllm_config, device):
        tied = [module for model, _ in models for module in tied_modules(model)]
        derived = [(module, config.dtype) for model, config in models for module in model.modules() if derives(module)]
    reset_lora_state = getattr(runner, "reset_lora_state", None)

    def refresh() -> int:
        if tied or derived:
            with vllm_context(vllm_config, device):
                for module in tied:
                    module.quant_method.process_weights_after_loading(module)
                for module, dtype in derived:
                    module.process_weights_after_loading(dtype)
        if callable(reset_lora_state):
            reset_lora_state()
        return len(tied) + len(derived)

    return refresh


def derives(module: Any) -> bool:
    """Returns whether a module is an attention layer that computes values from weights after all layers are loaded.

    vLLM's plain attention layer computes none if its backend inherits the empty hook: it only sets scales to a
    constant. The proof detects other changed values of such a layer, as for all modules that are not refreshed.
    """
    if not callable(getattr(module, "process_weights_after_loading", None)) or _sets_constants(module):
        return False
    try:
        from vllm.model_executor.layers.attention import is_deferred_attention_layer
    except ImportError:
        return type(module).__name__ in ("Attention", "MLAAttention", "MMEncoderAttention")
    return bool(is_deferred_attention_layer(module))


def _sets_constants(module: Any) -> bool:
    """Returns whether vLLM itself defines both hooks; other hooks may derive any values."""
    layer_hook = getattr(type(module), "process_weights_after_loading", None)
    backend_hook = getattr(type(getattr(module, "impl", None)), "process_weights_after_loading", None)
    return (
        getattr(layer_hook, "__qualname__", "") == "Attention.process_weights_after_loading"
        and getattr(layer_hook, "__module__", "") == "vllm.model_executor.layers.attention.attention"
        and getattr(backend_hook, "__module__", "") == "vllm.v1.attention.backend"
    )
