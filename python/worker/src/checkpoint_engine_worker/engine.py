"""Describes an engine to the recorder and the proof. Does not import torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Engine:
    """An engine as the recorder sees it.

    `load_weights` is the engine's own loader: it takes a list of (name, tensor). `roots` are the modules that it fills,
    with a prefix for their paths (the model, and a draft model). `device` is the device of their parameters. `facts`
    has everything that influences the loader, by name: versions, parallel sizes and ranks, expert placement, adapters.
    `load_format` is optional. During a `with` statement, it gives the modules parameters in the form before the
    engine's processing: *meta* tensors without bytes, with their loaders. `title` describes the engine to people, in
    one line. `process` is optional. It processes a module as the engine does after loading; with it, modules can be
    proved through their kind.
    """

    load_weights: Callable[[list[tuple[str, Any]]], object]
    roots: Sequence[tuple[str, Any]]
    device: Any
    facts: Mapping[str, str] = field(default_factory=dict)
    load_format: Callable[[], AbstractContextManager[object]] | None = None
    title: str = ""
    process: Callable[[Any], object] | None = None
