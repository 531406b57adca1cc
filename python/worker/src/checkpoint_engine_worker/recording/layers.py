"""Groups tensors by layer, and layers by class, so that one layer of a class represents all of them. No torch.

The layer of a name is its first number: `model.layers.7.mlp.up_proj.weight` is layer 7 of `model.layers`.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from checkpoint_engine_worker.pull_types import TensorMeta

_LAYER = re.compile(r"(?:^|(?<=\.))\d+(?=\.)")

LayerKey = tuple[str, int]


@dataclass(frozen=True)
class LayerClass:
    """Layers whose tensors have the same names, types and shapes. `members` maps layer to its tensors, in one order."""

    members: dict[LayerKey, tuple[int, ...]]


def split_layer(name: str) -> tuple[LayerKey, str] | None:
    """Returns ((text before the first number, that number), text after it), or None."""
    found = _LAYER.search(name)
    if found is None:
        return None
    return ((name[: found.start()], int(found.group())), name[found.end() :])


def layer_classes(
    tensors: Sequence[TensorMeta], engine_classes: dict[int, Hashable]
) -> tuple[list[LayerClass], list[int]]:
    """Returns classes of layers, and the tensors outside of layers.

    `engine_classes` describes the engine's layer by number; layers that differ in it are in different classes.
    """
    layers: dict[LayerKey, list[tuple[str, str, tuple[int, ...], int]]] = {}
    loose = []
    for i, meta in enumerate(tensors):
        split = split_layer(meta.name)
        if split is None:
            loose.append(i)
        else:
            layers.setdefault(split[0], []).append((split[1], meta.dtype, meta.shape, i))
    classes: dict[Hashable, dict[LayerKey, tuple[int, ...]]] = {}
    for key, items in layers.items():
        items.sort()
        signature = (key[0], engine_classes.get(key[1]), tuple(item[:3] for item in items))
        classes.setdefault(signature, {})[key] = tuple(item[3] for item in items)
    return ([LayerClass(members) for members in classes.values()], loose)
