"""Breaks what a receiver of this repository does, in tests of verified updates: `set_fault("skipped box")`.

It wraps the execution of copy tables, so that faults are the same in host memory and on GPUs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from checkpoint_engine_worker.copying.pull_table import PullTable
from checkpoint_engine_worker.recording.recording import DESTINATION, OWNER, ROW_BYTES, ROWS
from checkpoint_engine_worker.tables.pieces import P_DESTINATION, P_ROW_BYTES, P_ROWS, P_SOURCE

_STATE: dict[str, Any] = {"fault": "", "execute": None}


def set_fault(fault: str) -> None:
    """Breaks all later pulls with the named fault. An empty name removes the fault."""
    if fault and fault not in TABLES and fault not in PARAMETERS:
        raise ValueError(f"unknown fault {fault}, expected one of {[*TABLES, *PARAMETERS]}")
    if _STATE["execute"] is None:
        _STATE["execute"], PullTable.execute = PullTable.execute, _execute
    _STATE["fault"] = fault


def _execute(table: Any, subset: Any = None) -> int:
    fault = _STATE["fault"]
    if fault in TABLES:
        copies = table._index.pieces(subset or table._places, table._regions).table
        broken = TABLES[fault](copies.copy())
        table._copier.copy(table._copier.prepare(broken))
        return int((copies[:, P_ROWS] * copies[:, P_ROW_BYTES]).sum())
    size: int = _STATE["execute"](table, subset)
    if fault in PARAMETERS:
        PARAMETERS[fault](_largest_box(table))
    return size


def _largest_box(table: Any) -> Any:
    """The bytes of the first row of the largest box that the engine holds."""
    recording = table._recording
    boxes = recording.direct_boxes()
    for at in np.argsort(-(boxes[:, ROWS] * boxes[:, ROW_BYTES])).tolist():
        tensor = recording.live[boxes[at, OWNER]].tensor
        if tensor.is_contiguous():
            start = int(boxes[at, DESTINATION])
            return tensor.detach().reshape(-1).view(torch.uint8)[start : start + int(boxes[at, ROW_BYTES])]
    raise ValueError("no parameter is contiguous")


def _flip(parameter: Any) -> None:
    parameter[5] ^= 8


def _clear(parameter: Any) -> None:
    parameter[:64] = 0


def _shift(parameter: Any) -> None:
    parameter[4:68] = parameter[:64].clone()


def _swap(table: Any) -> Any:
    """Exchanges the destinations of two pieces of one form. Without two of one form, nothing changes."""
    _, first, count = np.unique(table[:, P_ROWS:], axis=0, return_index=True, return_counts=True)
    if count.max(initial=0) < 2:
        return table
    form = table[first[count > 1][-1], P_ROWS:]
    a, b = np.flatnonzero((table[:, P_ROWS:] == form).all(axis=1))[:2]
    table[[a, b], P_DESTINATION] = table[[b, a], P_DESTINATION]
    return table


def _skip(table: Any) -> Any:
    return np.delete(table, int(np.argmax(table[:, P_ROWS] * table[:, P_ROW_BYTES])), axis=0)


def _late(table: Any) -> Any:
    """Shifts the source of one piece by four bytes, and shortens the piece by four bytes."""
    at = int(np.argmax(table[:, P_ROW_BYTES]))
    table[at, P_SOURCE] += 4
    table[at, P_ROW_BYTES] -= 4
    return table


#: Faults of copy tables.
TABLES = {"wrong place": _swap, "skipped box": _skip, "shifted source": _late}
#: Faults of parameters after a pull.
PARAMETERS = {"flipped bit": _flip, "cleared bytes": _clear, "shifted bytes": _shift}
