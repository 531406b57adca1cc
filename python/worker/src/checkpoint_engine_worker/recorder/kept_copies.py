"""Finds modules that compute with a hidden copy of their weights. Imports torch.

An engine may pack a weight into a library's own memory and use it through a function in an attribute of the module,
while the parameter stays as it was loaded. A pull into the parameter would have no effect.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

import torch

_MAX_DEPTH = 6
_TORCH = torch.__path__[0]

Known = Callable[[Any], bool]


def keeps_copy(module: Any, known: Known) -> bool:
    """Returns whether a function in an attribute of the module has its own memory.

    Such memory is a tensor that is not a view of a parameter or buffer (`known`), or an object with a release method.
    """
    seen: set[int] = set()
    return any(
        _holds(value, known, seen, 0)
        for name, value in vars(module).items()
        if not name.startswith(("_forward_hooks", "_forward_pre_hooks"))
        and isinstance(value, (types.FunctionType, types.MethodType, functools.partial))
    )


def _holds(value: Any, known: Known, seen: set[int], depth: int) -> bool:
    if depth > _MAX_DEPTH or id(value) in seen or isinstance(value, (torch.nn.Module, type, types.ModuleType)):
        return False
    seen.add(id(value))
    if isinstance(value, torch.Tensor):
        return value.numel() > 1 and not known(value)
    if isinstance(value, torch.ScriptObject):
        return True
    if isinstance(value, (str, bytes, int, float, complex, bool, torch.dtype, torch.device, type(None))):
        return False
    if not isinstance(value, types.FunctionType) and hasattr(type(value), "__del__"):
        return True
    return any(_holds(item, known, seen, depth + 1) for item in _parts(value))


def _parts(value: Any) -> list[Any]:
    if isinstance(value, types.FunctionType):
        if value.__code__.co_filename.startswith(_TORCH):  # a wrapper of `torch.compile`
            return []
        cells = [cell.cell_contents for cell in value.__closure__ or () if _filled(cell)]
        return [*cells, *(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
    if isinstance(value, types.MethodType):
        return [value.__self__, value.__func__]
    if isinstance(value, functools.partial):
        return [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, dict):
        return list(value.values())[:256]
    if isinstance(value, (list, tuple, set, frozenset)):
        return list(value)[:256]
    return list(getattr(value, "__dict__", {}).values())


def _filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False
