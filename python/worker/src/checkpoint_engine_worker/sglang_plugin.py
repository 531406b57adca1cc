"""The entry point of group `sglang.srt.plugins`: SGLang 0.5.12 and later call it in each of their processes.

`POST /update_weights_from_ipc` does not change. This package handles addresses of its protocol, and SGLang's own code
handles all others. `/server_info` describes the worker and its weights.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from checkpoint_engine_worker.protocol.address import is_own_address
from checkpoint_engine_worker.protocol.weight_version import UNKNOWN_VERSION
from checkpoint_engine_worker.receiver import Receiver
from checkpoint_engine_worker.sglang.memory import MEMORY, release_memory_occupation, resume_memory_occupation
from checkpoint_engine_worker.sglang.target import SglangTarget
from checkpoint_engine_worker.tensors.torch_module import torch_module

if TYPE_CHECKING:
    from collections.abc import Callable

_LOG = logging.getLogger(__name__)

#: The method that updates a runner, in newer and in older releases.
UPDATES = (
    ("sglang.srt.model_executor.model_runner_components.weight_updater", "WeightUpdater"),
    ("sglang.srt.model_executor.model_runner", "ModelRunner"),
)
#: The method with which a scheduler describes itself.
STATES = (("sglang.srt.managers.scheduler", "Scheduler"),)
#: The methods that release and map the memory of weights, in newer and in older releases.
MEMORIES = (
    ("sglang.srt.managers.scheduler_components.weight_updater", "SchedulerWeightUpdaterManager"),
    ("sglang.srt.managers.scheduler_update_weights_mixin", "SchedulerUpdateWeightsMixin"),
)
#: The field of `/server_info`, within each of its internal states.
FIELD = "checkpoint_engine_worker"

_receivers: WeakKeyDictionary[Any, Receiver] = WeakKeyDictionary()


def register() -> None:
    """Installs this package's receiver in front of SGLang's."""
    from sglang.srt.plugins.hook_registry import HookRegistry, HookType

    updated = _first(UPDATES, "update_weights_from_ipc")
    if updated is None:
        _LOG.warning("This release of SGLang has no update_weights_from_ipc: weights cannot be received")
        return
    HookRegistry.register(updated, update_weights_from_ipc, HookType.AROUND)
    described = _first(STATES, "get_internal_state")
    if described is not None:
        HookRegistry.register(described, get_internal_state, HookType.AROUND)
    for hook in (release_memory_occupation, resume_memory_occupation):
        place = _first(MEMORIES, hook.__name__)
        if place is not None:
            HookRegistry.register(place, hook, HookType.AROUND)


def update_weights_from_ipc(original: Callable[..., Any], owner: Any, recv_req: Any) -> Any:
    """Receives an update into one runner.

    Args:
        original: SGLang's own method.
        owner: The runner, or its `WeightUpdater`.
        recv_req: The request; its `zmq_handles` are the addresses by device UUID.

    Returns:
        Whether it succeeded, and a message.
    """
    handles = recv_req.zmq_handles
    get_runner = getattr(owner, "get_model_runner", None)
    runner = get_runner() if callable(get_runner) else owner
    if not any(is_own_address(address) for address in handles.values()):
        receiver = _receivers.get(runner)
        if receiver is not None:
            receiver.forget_version()
        return original(owner, recv_req)
    try:
        refusal = _refusal(owner, runner.model)
        if refusal is not None:
            return False, refusal
        device = _device_of(runner)
        target = SglangTarget(runner.model, device)
        update = _receiver_of(runner, device).receive(handles, target)
    except Exception as error:
        return False, str(error)
    return True, f"Received {update.checkpoint}: {update.tensors} tensors"


def get_internal_state(original: Callable[..., Any], scheduler: Any, recv_req: Any) -> Any:
    """Adds a description of this package, and the state of each runner's weights."""
    output = original(scheduler, recv_req)
    state = getattr(output, "internal_state", None)
    if isinstance(state, dict):
        all_described = [receiver.describe() for receiver in _receivers.values()]
        described = Receiver(torch_module().device("cpu")).describe()
        if all_described:
            states = [one["weights"] for one in all_described]
            versions = {one["weightVersion"] for one in all_described}
            described["weights"] = "unknown" if "unknown" in states else states[0]
            described["weightVersion"] = versions.pop() if len(versions) == 1 else UNKNOWN_VERSION
        state[FIELD] = described
    return output


def _receiver_of(runner: Any, device: Any) -> Receiver:
    receiver = _receivers.get(runner)
    if receiver is None:
        receiver = _receivers[runner] = Receiver(device, int(getattr(runner, "tp_rank", 0)), MEMORY)
    return receiver


def _device_of(runner: Any) -> Any:
    kind = str(runner.device)
    return torch_module().device(kind, runner.gpu_id) if kind == "cuda" else torch_module().device(kind)


def _refusal(owner: Any, model: Any) -> str | None:
    """Returns why SGLang itself would refuse an update of this model."""
    refuse = getattr(owner, "_assert_weight_cache_inactive", None)
    if callable(refuse):
        refuse("update_weights_from_ipc")
    module = importlib.import_module(type(owner).__module__)
    unsupported = getattr(module, "_unsupported_derived_weight_cache_error", None)
    reason = unsupported(model) if callable(unsupported) else None
    return reason if isinstance(reason, str) else None


def _first(places: tuple[tuple[str, str], ...], method: str) -> str | None:
    """Returns the first of these dotted paths that exists in this release."""
    for module_name, class_name in places:
        try:
            owner = getattr(importlib.import_module(module_name), class_name, None)
        except Exception as error:
            _LOG.debug("%s cannot be imported: %s", module_name, error)
            continue
        if hasattr(owner, method):
            return f"{module_name}.{class_name}.{method}"
    return None
