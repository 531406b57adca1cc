"""Runs vLLM's layerwise reload around the tensors of one update.

After loading, vLLM converts parameters to the layouts of its kernels: packed, transposed, with derived scales. Its
layerwise reload gives each layer parameters in the layout of the checkpoint again, and converts a layer when all of its
tensors have arrived. Layers that are not converted keep the kernel's memory, which CUDA graphs refer to.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

_LOG = logging.getLogger(__name__)

#: Quantization methods that do not transform the checkpoint's weights, on CUDA.
_PLAIN_METHODS = frozenset({"UnquantizedLinearMethod", "UnquantizedEmbeddingMethod"})
#: Backends of unquantized experts that do not transform weights.
_PLAIN_EXPERTS = frozenset({"TRITON", "BATCHED_TRITON"})


def needs_reload(model: torch.nn.Module, device: torch.device) -> str | None:
    """Returns why a model's weights must go through the layerwise reload; `None` if plain loading is correct.

    Unknown methods and backends count as transforming.
    """
    if device.type != "cuda":
        return f"the weights of a {device.type} back end are packed"
    for name, module in model.named_modules():
        method = getattr(module, "quant_method", None)
        if method is not None and not _is_plain(method):
            return f"{type(method).__name__} of {name} converts weights"
        if type(module).__name__ == "MLAAttention" or hasattr(module, "W_UK_T"):
            return f"{name} derives matrices from weights"
    return None


class LayerwiseReload:
    """One reload of one model.

    Args:
        model: Gets parameters in the layout of the checkpoint.
        model_config: Its configuration.
        device: The model's device.
    """

    def __init__(self, model: torch.nn.Module, model_config: Any, device: torch.device) -> None:
        from vllm.model_executor.model_loader.reload import initialize_layerwise_reload

        from checkpoint_engine_worker.recorder.expert_kernels import kernels_of

        self._model = model
        self._model_config = model_config
        # Kernels on CPUs pack the weights, so new weights need new kernels.
        is_cpu = device.type == "cpu"
        self._dropped = drop_packing_kernels(model) if is_cpu else []
        self._kernels = [] if is_cpu else kernels_of(model)
        initialize_layerwise_reload(model)

    def finalize(self) -> None:
        """Converts the remaining layers, and restores layers without new weights."""
        from vllm.model_executor.model_loader.reload import finalize_layerwise_reload

        finalize_layerwise_reload(self._model, self._model_config)
        self._put_back_kernels()

    def abandon(self) -> None:
        """Restores the kernels' memory of each layer that is not converted, and drops its new weights."""
        from vllm.model_executor.model_loader.reload import layerwise

        restore = getattr(self._model, "_original_do_torchao_reload", None)
        if restore is not None:
            self._model._do_torchao_reload = restore
        for module, info in _unfinished(self._model, layerwise):
            layerwise._place_kernel_tensors(module, info)
            info.reset()
        getattr(layerwise, "LOADING_LAYERS", set()).clear()
        self._put_back_kernels()

    def _put_back_kernels(self) -> None:
        for method, name, value in self._kernels:
            setattr(method, name, value)
        for method, kernel in self._dropped:
            if method.moe_kernel is None:
                method.moe_kernel = kernel


def drop_packing_kernels(model: torch.nn.Module) -> list[tuple[Any, Any]]:
    """Makes experts on CPUs pack their weights again: vLLM packs them only when it creates their kernel.

    No CUDA graphs refer to a kernel on CPUs, so a new one is safe. Returns the dropped kernels.
    """
    dropped = []
    for module in model.modules():
        method: Any = getattr(module, "quant_method", None)
        kernel = getattr(method, "moe_kernel", None)
        process = getattr(type(getattr(kernel, "fused_experts", None)), "process_weights_after_loading", None)
        if process is not None and process.__module__.rpartition(".")[2] != "modular_kernel":
            dropped.append((method, kernel))
            method.moe_kernel = None
    return dropped


def _unfinished(model: torch.nn.Module, layerwise: Any) -> Iterator[tuple[torch.nn.Module, Any]]:
    for module in model.modules():
        info = layerwise.get_layerwise_info(module)
        if not info.can_load():
            continue
        if info.kernel_tensors is None:
            # The first load of an engine, which only the engine itself ends.
            _LOG.warning("%s has no kernel memory to restore", type(module).__name__)
            continue
        yield module, info


def _is_plain(method: Any) -> bool:
    name = type(method).__name__
    if name in _PLAIN_METHODS:
        return True
    backend = getattr(method, "unquantized_backend", None)
    return name == "UnquantizedFusedMoEMethod" and getattr(backend, "name", None) in _PLAIN_EXPERTS
