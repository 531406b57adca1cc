"""Finds values that an engine computes from weights and keeps: a pull does not refresh them. Imports torch.

    before = unwritten_digests(engine, recording)     # before an ordinary load of other weights
    ...
    after = unwritten_digests(engine, recording)
    prove(..., derived=changed_modules(before, after))

If no loader writes a tensor and its values differ after the load, the engine computed it from the loaded weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from checkpoint_engine_worker.engine import Engine
from checkpoint_engine_worker.recording.recording import OWNER, Recording
from checkpoint_engine_worker.tensors.tensor_map import named_tensors, span_of
from checkpoint_engine_worker.tensors.torch_dtypes import as_bytes

#: Larger tensors that no loader writes are caches of requests.
_MAX_BYTES = 512 << 20
_CHUNK_WORDS = 1 << 22

Digests = dict[str, tuple[str, int]]


def unwritten_digests(
    engine: Engine, recording: Recording, refreshed: Callable[[Any], bool] = lambda module: False
) -> Digests:
    """Returns (module, digest) by path for tensors that the recorded loader does not write.

    `refreshed` returns whether the engine's hooks refresh a module after a pull; such modules are left out.
    """
    written = {recording.owners[owner].path for owner in set(recording.boxes[:, OWNER].tolist())}
    written |= {recording.owners[cast.owner].path for cast in recording.casts}
    ends = {
        live.address: live.address + live.size_bytes
        for live, owner in zip(recording.live, recording.owners, strict=True)
        if live is not None and owner.path in written
    }
    skipped = {
        path for name, root in engine.roots for path, module in root.named_modules(prefix=name) if refreshed(module)
    }
    found: Digests = {}
    for named in named_tensors(engine.roots):
        tensor = named.tensor
        if named.module in skipped or named.path in written or tensor.is_meta:
            continue
        size = span_of(tensor)
        if not 0 < size <= _MAX_BYTES or ends.get(tensor.data_ptr(), 0) >= tensor.data_ptr() + size:
            continue
        found[named.path] = (named.module, _digest(tensor))
    return found


def changed_modules(before: Mapping[str, tuple[str, int]], after: Mapping[str, tuple[str, int]]) -> set[str]:
    """Returns the modules with a tensor that has changed or is new."""
    return {module for path, (module, digest) in after.items() if before.get(path, ("", -1))[1] != digest}


def _digest(tensor: Any) -> int:
    """Returns a digest that depends on the order of the bytes."""
    data = as_bytes(tensor)
    total = data.numel()
    for at in range(0, total, _CHUNK_WORDS):
        words = data[at : at + _CHUNK_WORDS].to(torch.int64)
        factors = torch.arange(at, at + len(words), device=words.device, dtype=torch.int64) * 0x9E3779B1 + 1
        total = (total * 31 + int((words * (factors ^ (factors >> 15))).sum().item())) & ((1 << 63) - 1)
    return int(total)
