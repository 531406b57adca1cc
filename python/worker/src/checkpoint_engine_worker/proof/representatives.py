"""Proves a recording without a load: one module of each kind represents the others.

    represent(engine, recording).accept(recording, fingerprint_of(engine, metas))     # nothing is written to the engine
    ... the first pull ...
    differing_samples(engine, recording)                                              # with the pulled values

An ordinary load takes milliseconds per tensor, which is minutes for a list of 100,000. A module is proved through its
kind if all of these conditions hold:

1. The recorder ran the engine's loader for it, or for a layer of the same form, and its boxes are those of its kind.
2. The engine's loader ran on all tensors of the first module of the kind, with real values. It wrote the bytes that the
boxes of the recording copy, at the same places, and no others.
3. The same holds for the module's own tensors: for all of them, or for eight of each sort if there are more than 64.
4. The engine's processing ran on scratch memory with the layout of this module, and did not change the loaded values.

A module that fails in 2 to 4 goes through the engine's loader. If the first module of a kind fails, so do the others.
Imports torch.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from checkpoint_engine_worker.engine import Engine
from checkpoint_engine_worker.errors import CheckpointEngineError
from checkpoint_engine_worker.proof.kinds import Group, groups_of, kinds_of
from checkpoint_engine_worker.proof.live_values import LiveValues
from checkpoint_engine_worker.proof.module_trials import ModuleTrials
from checkpoint_engine_worker.proof.process_trial import CHANGES
from checkpoint_engine_worker.proof.proof import verdicts_of
from checkpoint_engine_worker.proof.trial_values import TrialValues
from checkpoint_engine_worker.recorder.observe import pattern_of
from checkpoint_engine_worker.recording.recording import Recording, Verdict

#: "0": never, "1": always, otherwise for large models.
SWITCH = "CHECKPOINT_ENGINE_REPRESENTATIVES"

#: An ordinary load takes milliseconds per tensor.
_LARGE_TENSORS = 10_000
#: Modules with at most this many tensors are tried completely.
_WHOLE_TENSORS = 64
#: Number of tensors per sort in trials of larger modules. Experts of layers have three to six sorts of tensors.
_SAMPLE_TENSORS = 8

#: The reason of a module whose kind failed.
KIND_DIFFERS = "a module of the same kind differs from the recording on trial"


@dataclass(frozen=True)
class Represented:
    """The results of trials: verdicts by group of modules, and the groups that are proved through their kind."""

    verdicts: Sequence[Verdict]
    proved_ms: float
    kinds: int
    groups: frozenset[int]

    def accept(self, recording: Recording, fingerprint: str) -> None:
        """Passes the verdicts to the recording; `fingerprint` is that of the current engine (`fingerprint_of`)."""
        recording.accept(self.verdicts, self.proved_ms, fingerprint)
        recording.represent(self.groups, self.kinds)


def are_wanted(tensors: int) -> bool:
    """Returns whether representatives prove a list of this many tensors."""
    chosen = os.environ.get(SWITCH)
    return chosen == "1" or (chosen != "0" and tensors >= _LARGE_TENSORS)


def represent(
    engine: Engine, recording: Recording, is_refreshed: Callable[[Any], bool] = lambda _: False
) -> Represented:
    """Runs the trials. `is_refreshed` returns whether the engine's hooks refresh a module after a pull."""
    started = time.monotonic()
    verdicts = verdicts_of(recording)
    candidates = [group for group in groups_of(recording) if verdicts[group.number].kind == "direct"]
    random = [TrialValues(engine.device, seed) for seed in (1, 2)]
    fills = [values.bytes_like for values in random]
    with engine.load_format() if engine.load_format else nullcontext():
        trials = ModuleTrials(engine, recording, is_refreshed)
        kinds = kinds_of(engine, recording, candidates, trials.loaded)
        firsts = [kind[0] for kind in kinds]
        trials.load([(group, group.tensors) for group in firsts], random[0])
        trials.process(firsts, fills)
        others: list[Group] = []
        for kind in kinds:
            failed = trials.failed.get(kind[0].number)
            if failed is None:
                others += kind[1:]
                continue
            reason = failed.reason if failed.reason == CHANGES else KIND_DIFFERS
            trials.failed.update({group.number: Verdict(failed.kind, reason) for group in kind[1:]})
        trials.load([(group, _sample(recording, group, 0)) for group in others], random[0])
        trials.process(others, fills)
    _release_scratch(engine.device)
    for number, verdict in trials.failed.items():
        verdicts[number] = verdict
    proved = frozenset(group.number for group in others if verdicts[group.number].kind == "direct")
    return Represented(verdicts, (time.monotonic() - started) * 1e3, len(kinds), proved)


def differing_samples(engine: Engine, recording: Recording) -> dict[int, str]:
    """Returns the groups that the engine would load with other bytes than were pulled, with reasons.

    The engine's loader and its processing get the current values, and neither may change anything.
    """
    verdicts = recording.verdicts or []
    groups = [group for group in groups_of(recording) if verdicts and verdicts[group.number].kind == "direct"]
    live = LiveValues(recording, engine.device)
    with engine.load_format() if engine.load_format else nullcontext():
        trials = ModuleTrials(engine, recording)
        trials.load([(group, _sample(recording, group, 1)) for group in groups], live)
        trials.process(groups, [lambda owner, _: live.bytes_of(owner)])
    _release_scratch(engine.device)
    return {number: verdict.reason for number, verdict in trials.failed.items()}


def _release_scratch(device: Any) -> None:
    """Returns the memory of trials to the device: the largest module twice, which nothing else needs."""
    if torch.device(device).type == "cuda":
        torch.cuda.empty_cache()


def check_samples(engine: Engine, recording: Recording) -> None:
    """Compares pulled values with the engine's own loading. Modules that differ go through its loader from now on.

    Raises:
        CheckpointEngineError: `CE_ENGINE_MISMATCH`: a module differs.
    """
    differing = differing_samples(engine, recording)
    if not differing:
        return
    owner_groups, _ = recording.groups()
    names = sorted(
        info.module for info, group in zip(recording.owners, owner_groups.tolist(), strict=True) if group in differing
    )
    recording.lower(differing)
    raise CheckpointEngineError(
        "CE_ENGINE_MISMATCH",
        f"{len(differing)} modules differ from the engine's own loading, the first is {names[0]}: "
        f"{next(iter(differing.values()))}",
        "Run the update again: these modules go through the engine's loader from now on",
    )


def _sample(recording: Recording, group: Group, turn: int) -> tuple[int, ...]:
    """Returns all tensors of a small group, or some of each sort of a large one. Names of a sort differ in numbers."""
    if len(group.tensors) <= _WHOLE_TENSORS:
        return group.tensors
    sorts: dict[str, list[int]] = {}
    for tensor in group.tensors:
        sorts.setdefault(pattern_of(recording.tensors[tensor].name), []).append(tensor)
    return tuple(
        tensor for members in sorts.values() for tensor in _spread(members, group.number * 7919 + turn * 104729)
    )


def _spread(members: Sequence[int], start: int) -> list[int]:
    """Returns the first, the last, and others between them that depend on `start`."""
    count = len(members)
    picks = {0, count - 1, *((start + i * count // _SAMPLE_TENSORS) % count for i in range(_SAMPLE_TENSORS - 2))}
    return [members[i] for i in sorted(picks)]
