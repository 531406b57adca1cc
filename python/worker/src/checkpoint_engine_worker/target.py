"""The interface of a model that receives weights inside an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import torch

#: Tensors by their names in the checkpoint. They view the shared buffer and are valid until the call returns.
NamedTensors = "Iterable[tuple[str, torch.Tensor]]"


class WeightTarget(Protocol):
    """A model that takes an update. The calls come in order: `begin`, `load` per bucket, then `finish` or `abort`."""

    def begin(self) -> None:
        """Prepares the model. Called before the first bucket."""

    def load(self, tensors: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Takes the tensors of one bucket. When it returns, their bytes may be overwritten."""

    def finish(self) -> None:
        """Makes the engine serve the new weights."""

    def abort(self) -> None:
        """Makes the model able to run and to take the next update. Its weights are partly old, partly new."""


class CallbackTarget:
    """Any engine with a function that loads a list of named tensors.

    Args:
        load_weights: Called once per bucket.
        device: The device of the model. Copies to it end before a call returns.
        post_hook: Called once, when all tensors are loaded.
        keeps_tensors: Whether `load_weights` may keep a tensor after the call. It then gets copies.
    """

    def __init__(
        self,
        load_weights: Callable[[Iterable[tuple[str, torch.Tensor]]], object],
        device: torch.device,
        post_hook: Callable[[], object] | None = None,
        *,
        keeps_tensors: bool = True,
    ) -> None:
        self._load_weights = load_weights
        self._device = device
        self._post_hook = post_hook
        self._keeps_tensors = keeps_tensors

    def begin(self) -> None:
        """Does nothing: the function needs no preparation."""

    def load(self, tensors: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Loads the tensors and waits for the device."""
        self._load_weights(copies(tensors) if self._keeps_tensors else tensors)
        synchronize(self._device)

    def finish(self) -> None:
        """Calls the hook and waits for the device."""
        if self._post_hook:
            self._post_hook()
        synchronize(self._device)

    def abort(self) -> None:
        """Waits for copies that read the shared buffer."""
        synchronize(self._device)


def copies(tensors: Iterable[tuple[str, torch.Tensor]]) -> Iterable[tuple[str, torch.Tensor]]:
    """Copies the tensors, for loaders that keep them."""
    for name, tensor in tensors:
        yield name, tensor.clone()


def synchronize(device: torch.device) -> None:
    """Waits for the queued work of a device."""
    if device.type == "cuda":
        from checkpoint_engine_worker.tensors.torch_module import torch_module

        torch_module().cuda.synchronize(device)
