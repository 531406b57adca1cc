"""Runs trials of an engine's loader and processing for groups of modules, and records which fail. Imports torch.

Nothing is written to the engine.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from checkpoint_engine_worker.engine import Engine
from checkpoint_engine_worker.proof.kinds import Group
from checkpoint_engine_worker.proof.loader_trial import LoaderTrials
from checkpoint_engine_worker.proof.process_trial import Fill, change_of
from checkpoint_engine_worker.pull_types import TensorMeta
from checkpoint_engine_worker.recording.recording import Recording, Verdict
from checkpoint_engine_worker.tensors.tensor_map import TensorMap, span_of

_LOG = logging.getLogger(__name__)

#: Bytes of tensors in one call of the loader, whose writes are kept until the call returns.
_CALL_BYTES = 64 << 20

#: The reason of a module whose loader writes other bytes than recorded.
DIFFERS = "its loader writes other bytes than recorded"
#: The reason of a module that the engine's hooks refresh after all others.
LATER = "the engine processes it at the end of a load"
#: The reason of a module that shares a part of the memory of another.
SHARES = "it shares a part of its memory with another module"


class Values(Protocol):
    """Returns the tensors of a trial."""

    def tensor(self, index: int, meta: TensorMeta) -> Any: ...


class ModuleTrials:
    """Trials inside of `engine.load_format`. `failed` has the verdicts of groups that failed, by number."""

    def __init__(
        self, engine: Engine, recording: Recording, is_refreshed: Callable[[Any], bool] = lambda _: False
    ) -> None:
        self.failed: dict[int, Verdict] = {}
        self.loaded = TensorMap(engine.roots)
        self._engine = engine
        self._recording = recording
        self._is_refreshed = is_refreshed
        self._loads = LoaderTrials(engine, recording, self.loaded)
        self._owner_groups, _ = recording.groups()
        self._modules = {
            path: module for name, root in engine.roots for path, module in root.named_modules(prefix=name)
        }

    def load(self, wanted: Sequence[tuple[Group, Sequence[int]]], values: Values) -> None:
        """Runs the loader on these tensors of groups, and compares its writes with the recording."""
        group_of = {tensor: group.number for group, tensors in wanted for tensor in tensors}
        for call in _calls(self._recording, wanted):
            self._load(call, group_of, values)

    def process(self, groups: Sequence[Group], fills: Sequence[Callable[[int, Any], Any]]) -> None:
        """Runs the engine's processing on scratch memory with the layout of each module.

        Args:
            groups: The groups; those that have failed are skipped.
            fills: Each returns the bytes of a tensor, from its number in the recording and a tensor of the same form.
        """
        for group in groups:
            for path in group.modules:
                if group.number not in self.failed:
                    reason = self._change_of(group, path, fills)
                    if reason is not None:
                        self.failed[group.number] = Verdict("staged", reason)

    def _load(self, call: list[int], group_of: dict[int, int], values: Values) -> None:
        groups = list(dict.fromkeys(group_of[i] for i in call))
        try:
            tensors = {i: values.tensor(i, self._recording.tensors[i]) for i in call}
            differing = self._loads.differing(tensors)
        except Exception as error:
            if len(groups) == 1:
                self._fail(groups[0], f"its loader fails on trial: {type(error).__name__}: {error}"[:200])
                return
            error.__traceback__ = None
            for group in groups:
                self._load([i for i in call if group_of[i] == group], group_of, values)
            return
        for owner in differing:
            # A write to an unrecorded destination may come from any tensor of the call.
            for group in [int(self._owner_groups[owner])] if owner >= 0 else groups:
                self._fail(group, DIFFERS)

    def _fail(self, group: int, reason: str) -> None:
        self.failed.setdefault(group, Verdict("opaque", reason))

    def _change_of(self, group: Group, path: str, fills: Sequence[Callable[[int, Any], Any]]) -> str | None:
        module = self._modules.get(path)
        if module is None or self._is_refreshed(module):
            return LATER
        written = self._written(group, module)
        if written is None:
            return SHARES
        assert self._engine.process is not None  # noqa: S101  trials are for engines that have it
        named = [_by_name(fill, written) for fill in fills]
        try:
            return change_of(module, path, self._engine.process, written, self._engine.device, named)
        except Exception as error:
            _LOG.info("The processing of %s failed on trial", path, exc_info=True)
            return f"its processing fails on trial: {type(error).__name__}: {error}"[:200]

    def _written(self, group: Group, module: Any) -> dict[str, int] | None:
        """Returns the module's tensors that the loader writes, by name; None if it writes only a part of one."""
        owners = {self._recording.owners[owner].path: owner for owner in group.owners}
        found = {}
        for table in (module._parameters, module._buffers):
            for name, tensor in table.items():
                place = None if tensor is None or tensor.numel() == 0 else self.loaded.find(tensor)
                if place is None:
                    continue
                info = self.loaded.owners[place[0]]
                owner = owners.get(info.path)
                if owner is None:
                    continue
                if place[1] != 0 or span_of(tensor) != info.size_bytes:
                    return None
                found[name] = owner
        return found


def _calls(recording: Recording, wanted: Sequence[tuple[Group, Sequence[int]]]) -> Iterator[list[int]]:
    """Returns lists of tensors for one call each. Tensors with the same parent module stay together."""
    call: list[int] = []
    size = 0
    for _, tensors in wanted:
        parent = None
        for tensor in tensors:
            meta = recording.tensors[tensor]
            above = meta.name.rpartition(".")[0].rpartition(".")[0]
            if call and size + meta.size_bytes > _CALL_BYTES and above != parent:
                yield call
                call, size = [], 0
            parent = above
            call.append(tensor)
            size += meta.size_bytes
    if call:
        yield call


def _by_name(fill: Callable[[int, Any], Any], owners: dict[str, int]) -> Fill:
    return lambda name, like: fill(owners[name], like)
