"""The names of a worker's device in the parameter server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from checkpoint_engine_worker.errors import CheckpointEngineError
from checkpoint_engine_worker.tensors.torch_module import torch_module

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NUMBER = re.compile(r"[0-9]{1,9}")


def cuda_uuid(device: torch.device) -> str:
    """Returns the UUID of a GPU in the form of NVML: `GPU-...`."""
    uuid = str(torch_module().cuda.get_device_properties(device).uuid)
    return uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"


def host_prefix() -> str:
    """Returns the prefix of the UUIDs of this host's host devices, without the index."""
    return f"HOST-{_BOOT_ID.read_text().strip()[:8]}-"


def choose_device(handles: Mapping[str, str], device: torch.device, local_rank: int) -> str:
    """Returns the UUID in `handles` that identifies this worker's device.

    Host devices do not correspond to hardware: the workers of an engine use the devices of this host in order.

    Args:
        handles: The addresses of the engine's workers by device UUID.
        device: The worker's device.
        local_rank: The worker's number among the engine's workers on this host.

    Raises:
        CheckpointEngineError: `CE_ENGINE_MISMATCH`.
    """
    if device.type == "cuda":
        uuid = cuda_uuid(device)
        if uuid in handles:
            return uuid
        raise _mismatch(f'"{uuid}"', handles)
    if device.type != "cpu":
        raise CheckpointEngineError(
            "CE_NOT_SUPPORTED",
            f'The engine runs on a device of type "{device.type}", but this package supports only cuda and cpu',
            "Use protocol v1 for it, with the Python package checkpoint-engine",
        )
    prefix = host_prefix()
    numbers = {uuid: _NUMBER.fullmatch(uuid.removeprefix(prefix)) for uuid in handles if uuid.startswith(prefix)}
    own = sorted((int(number[0]), uuid) for uuid, number in numbers.items() if number)
    if local_rank < len(own):
        return own[local_rank][1]
    raise _mismatch(f'"{prefix}..." with local rank {local_rank}', handles)


def _mismatch(own: str, handles: Mapping[str, str]) -> CheckpointEngineError:
    return CheckpointEngineError(
        "CE_ENGINE_MISMATCH",
        f"The update is for the devices {sorted(handles)}, but this worker runs on {own}",
        "Start one rank per device of the engine; an engine on CPUs needs --device host",
    )
