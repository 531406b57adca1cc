"""Calls of vLLM's loaders with a part of a checkpoint, as a bucket has it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

#: Layers that predict more tokens miss what is in other buckets.
_INCOMPLETE = re.compile(r"missing from checkpoint|not in the checkpoint")


def load_weights(model: torch.nn.Module, tensors: Iterable[tuple[str, torch.Tensor]]) -> set[str] | None:
    """Gives tensors to the loader of a model.

    Loaders of some draft models expect all of their tensors in one call, and fail when they have loaded what they were
    given. Newer releases of vLLM have a switch for it.

    Returns:
        The names of the parameters that were loaded, if the loader returns them.
    """
    given = _Given(tensors)
    try:
        with _without_completeness():
            loaded = model.load_weights(iter(given))
    except (ValueError, RuntimeError) as error:
        if not given.is_over or not _INCOMPLETE.search(str(error)):
            raise
        return None
    return {str(name) for name in loaded} if isinstance(loaded, (set, frozenset, list)) else None


class LoadedNames:
    """The names of the parameters that a model's loader has loaded in one update."""

    def __init__(self) -> None:
        #: `None` if the loader did not return the names of one call.
        self._names: set[str] | None = set()

    def add(self, names: set[str] | None) -> None:
        """Adds the names of one call."""
        self._names = None if names is None or self._names is None else self._names | names

    def is_without(self, target: torch.nn.Module, draft: torch.nn.Module) -> bool:
        """Whether nothing was loaded that the draft model has for itself."""
        if self._names is None:
            return False
        shared = {id(parameter) for parameter in target.parameters()}
        own = {name for name, parameter in draft.named_parameters() if id(parameter) not in shared}
        return bool(own) and self._names.isdisjoint(own)


class _Given:
    """An iterable that knows whether all of it was taken."""

    def __init__(self, tensors: Iterable[tuple[str, torch.Tensor]]) -> None:
        self._tensors = tensors
        self.is_over = False

    def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
        yield from self._tensors
        self.is_over = True


def _without_completeness() -> AbstractContextManager[Any]:
    try:
        from vllm.model_executor.model_loader.mtp_validation import disable_mtp_completeness_check
    except ImportError:
        return nullcontext()
    context: AbstractContextManager[Any] = disable_mtp_completeness_check()
    return context
