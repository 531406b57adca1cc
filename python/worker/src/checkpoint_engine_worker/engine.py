"""What the recorder and the proof need to know of an engine. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Engine:
    """An engine as the recorder sees it.

    `load_weights` is the engine's own loader: it takes a list of (name, tensor). `roots` are the modules that it fills,
    with a prefix for their paths (the model, and a draft model). `device` is where their parameters are. `facts` is
    whatever changes what the loader does, by name: versions, parallel sizes and ranks, expert placement, adapters.
    `load_format`, where the engine has one, puts parameters into the modules, for the time of a `with` statement, as
    they were before the engine processed them: *meta* tensors without bytes, with their loaders. `title` describes the
    engine to people, in one line. `process`, where the engine has one, does to a module what the engine does to it when
    its tensors are loaded; with it, modules can be proved through their kind.
    """

    load_weights: Callable[[list[tuple[str, Any]]], object]
    roots: Sequence[tuple[str, Any]]
    device: Any
    facts: Mapping[str, str] = field(default_factory=dict)
    load_format: Callable[[], AbstractContextManager[object]] | None = None
    title: str = ""
    process: Callable[[Any], object] | None = None
