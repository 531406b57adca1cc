"""vLLM's layerwise reload, around the tensors of one update.

vLLM turns parameters into the layouts of its kernels after loading: packed, transposed, with derived scales. Its
layerwise reload gives each layer parameters in the layout of the checkpoint again, and converts a layer once its
tensors are all there. Layers that are not converted keep the kernel's memory, which CUDA graphs refer to.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

_LOG = logging.getLogger(__name__)

#: Quantization methods that leave weights as the checkpoint has them, on CUDA.
_PLAIN_METHODS = frozenset({"UnquantizedLinearMethod", "UnquantizedEmbeddingMethod"})
#: Back ends of unquantized experts that do.
_PLAIN_EXPERTS = frozenset({"TRITON", "BATCHED_TRITON"})


def needs_reload(model: torch.nn.Module, device: torch.device) -> str | None:
    """Why a model's weights have to go through the layerwise reload; `None` where plain loading is right.

    What is not known to leave the weights alone is taken to change them.
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


def initialize(model: torch.nn.Module) -> None:
    """Gives the model parameters in the layout of the checkpoint."""
    from vllm.model_executor.model_loader.reload import initialize_layerwise_reload

    initialize_layerwise_reload(model)


def finalize(model: torch.nn.Module, model_config: Any) -> None:
    """Converts what is not converted yet, and puts back what got no weights."""
    from vllm.model_executor.model_loader.reload import finalize_layerwise_reload

    finalize_layerwise_reload(model, model_config)


def abandon(model: torch.nn.Module) -> None:
    """Puts the kernels' memory back into each layer that is not converted, and forgets what it was given."""
    from vllm.model_executor.model_loader.reload import layerwise

    restore = getattr(model, "_original_do_torchao_reload", None)
    if restore is not None:
        model._do_torchao_reload = restore
    for module, info in _unfinished(model, layerwise):
        layerwise._place_kernel_tensors(module, info)
        info.reset()
    getattr(layerwise, "LOADING_LAYERS", set()).clear()


def _unfinished(model: torch.nn.Module, layerwise: Any) -> Iterator[tuple[torch.nn.Module, Any]]:
    for module in model.modules():
        info = layerwise.get_layerwise_info(module)
        if not info.can_load():
            continue
        if info.kernel_tensors is None:
            # The first load of an engine, which nothing but the engine ends.
            _LOG.warning("%s has no memory of its kernel to put back", type(module).__name__)
            continue
        yield module, info


def _is_plain(method: Any) -> bool:
    name = type(method).__name__
    if name in _PLAIN_METHODS:
        return True
    backend = getattr(method, "unquantized_backend", None)
    return name == "UnquantizedFusedMoEMethod" and getattr(backend, "name", None) in _PLAIN_EXPERTS
