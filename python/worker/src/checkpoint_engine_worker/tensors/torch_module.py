"""Imports torch when it is first needed, so that this package can report that torch is missing."""

from __future__ import annotations

from functools import cache
from typing import Any

from checkpoint_engine_worker.errors import CheckpointEngineError


@cache
def torch_module() -> Any:
    """Returns the module `torch`.

    Raises:
        CheckpointEngineError: `CE_PACKAGE_NOT_FOUND`.
    """
    try:
        import torch
    except ImportError as error:
        raise CheckpointEngineError(
            "CE_PACKAGE_NOT_FOUND",
            f"torch cannot be imported: {error}",
            "Install checkpoint-engine-worker into the environment of the inference engine, which includes torch",
        ) from error
    return torch
