"""The model of an SGLang runner as the target of an update."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from checkpoint_engine_worker.target import copies, synchronize
from checkpoint_engine_worker.tensors.torch_module import torch_module

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch


class SglangTarget:
    """Loads through SGLang's own loaders. A failing hook fails the update.

    Args:
        model: The runner's model.
        device: The runner's device.
    """

    def __init__(self, model: torch.nn.Module, device: torch.device) -> None:
        self._model = model
        self._device = device

    def begin(self) -> None:
        """Undoes in-place packing, if this release of SGLang supports it."""
        loader = _loader()
        if hasattr(loader, "restore_weights_before_loading"):
            with torch_module().no_grad():
                loader.restore_weights_before_loading(self._model, self._device)

    def load(self, tensors: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Loads the tensors of one bucket. Some loaders keep a tensor until its counterpart arrives."""
        with torch_module().no_grad():
            self._model.load_weights(copies(tensors))
        synchronize(self._device)

    def finish(self) -> None:
        """Processes the weights as SGLang does after loading."""
        loader = _loader()
        with torch_module().no_grad():
            if hasattr(loader, "postprocess_weights"):
                loader.postprocess_weights(self._model, self._device)
            else:
                _postprocess(self._model, self._device)
            if hasattr(self._model, "post_load_weights"):
                self._model.post_load_weights()
        synchronize(self._device)

    def abort(self) -> None:
        """Processes the loaded weights, so that the model can run."""
        self.finish()


def _loader() -> Any:
    from sglang.srt.model_loader.loader import DefaultModelLoader

    return DefaultModelLoader


def _postprocess(model: torch.nn.Module, device: torch.device) -> None:
    from sglang.srt.model_loader.loader import device_loading_context

    for _, module in model.named_modules():
        method = getattr(module, "quant_method", None)
        if method is not None:
            with device_loading_context(module, device):
                method.process_weights_after_loading(module)
