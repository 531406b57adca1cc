"""Calls vLLM's loaders with a part of a checkpoint, such as a bucket."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

#: The errors of layers that predict more tokens, if some of their tensors are in other buckets.
_INCOMPLETE = re.compile(r"missing from checkpoint|not in the checkpoint")


def load_weights(model: torch.nn.Module, tensors: Iterable[tuple[str, torch.Tensor]]) -> set[str] | None:
    """Passes tensors to the loader of a model.

    Loaders of some draft models expect all of their tensors in one call, and otherwise fail after they have loaded the
    given ones. Newer releases of vLLM have a switch that disables this check.

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
        """Whether none of the draft model's own parameters were loaded."""
        if self._names is None:
            return False
        shared = {id(parameter) for parameter in target.parameters()}
        own = {name for name, parameter in draft.named_parameters() if id(parameter) not in shared}
        return bool(own) and self._names.isdisjoint(own)


class _Given:
    """An iterable that records whether it was exhausted."""

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
