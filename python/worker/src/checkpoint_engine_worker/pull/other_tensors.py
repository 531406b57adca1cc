"""The error for a checkpoint that has other tensors than an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from checkpoint_engine_worker.errors import CheckpointEngineError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from checkpoint_engine_worker.pull_types import TensorMeta

#: Number of tensors that the error lists.
_NAMED = 3


def other_tensors(held: Sequence[TensorMeta], wanted: Sequence[TensorMeta]) -> CheckpointEngineError:
    """Returns an error that lists the first differences.

    Args:
        held: The tensors of the checkpoint that the engine received.
        wanted: Those of the checkpoint that it is compared with.
    """
    by_name = {meta.name: meta for meta in held}
    found: list[str] = []
    for meta in wanted:
        own = by_name.pop(meta.name, None)
        if own is None:
            found.append(f'the engine has no "{meta.name}"')
        elif _form(own) != _form(meta):
            found.append(f'"{meta.name}" is {_form(meta)} in the checkpoint and {_form(own)} in the engine')
    found += [f'the checkpoint has no "{name}"' for name in by_name]
    more = f", and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return CheckpointEngineError(
        "CE_ENGINE_MISMATCH",
        f"The tensors of the engine differ from those of the checkpoint: {'; '.join(found[:_NAMED])}{more}",
        "Verify the engine with a checkpoint of the model that it serves",
    )


def _form(meta: TensorMeta) -> str:
    return f"{meta.dtype} {list(meta.shape)}"
