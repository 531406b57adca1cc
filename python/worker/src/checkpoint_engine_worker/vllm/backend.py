"""A weight-transfer backend for vLLM 0.26 and later: `--weight-transfer-config '{"backend":"checkpoint_engine"}'`.

vLLM's routes only pass the address of the parameter server. The complete update happens inside `update_weights`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vllm.distributed.weight_transfer.base import (
    WeightTransferEngine,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)

from checkpoint_engine_worker.errors import CheckpointEngineError
from checkpoint_engine_worker.receiver import Receiver
from checkpoint_engine_worker.session.update_session import DEFAULT_TIMEOUT_S
from checkpoint_engine_worker.version import PROTOCOL_VERSION
from checkpoint_engine_worker.vllm.puller import vllm_puller
from checkpoint_engine_worker.vllm.sleep import VllmMemory
from checkpoint_engine_worker.vllm.target import VllmTarget

if TYPE_CHECKING:
    from checkpoint_engine_worker.pull.engine_puller import EnginePuller


@dataclass
class InitInfo(WeightTransferInitInfo):  # type: ignore[misc]
    """The body of `/init_weight_transfer_engine`. Other backends refuse it, so it identifies this one."""

    checkpoint_engine_protocol: int = PROTOCOL_VERSION
    #: The address to which each worker reports its state. Absent before an update.
    report_to: str | None = None


@dataclass
class UpdateInfo(WeightTransferUpdateInfo):  # type: ignore[misc]
    """The body of `/update_weights`."""

    #: The addresses of all workers by device UUID.
    handles: dict[str, str] = field(default_factory=dict)
    timeout_s: float = DEFAULT_TIMEOUT_S


class CheckpointEngineBackend(WeightTransferEngine[InitInfo, UpdateInfo]):  # type: ignore[misc]
    """Receives an update into the model that vLLM selects: the target, or the draft model."""

    init_info_cls = InitInfo
    update_info_cls = UpdateInfo
    supports_draft_weight_update = True

    def __init__(self, config: Any, vllm_config: Any, device: Any, model: Any) -> None:
        super().__init__(config, vllm_config, device, model)
        self._puller: EnginePuller | None = None
        rank_of_host = vllm_config.parallel_config.rank % _workers_of_host(vllm_config)
        self._receiver = Receiver(device, rank_of_host, VllmMemory(device))

    def init_transfer_engine(self, init_info: InitInfo) -> None:
        """Checks that the parameter server uses the same protocol and that an update is possible, or sends a report."""
        if init_info.checkpoint_engine_protocol != PROTOCOL_VERSION:
            raise CheckpointEngineError(
                "CE_WORKER_PROTOCOL",
                f"This worker uses protocol {PROTOCOL_VERSION}, "
                f"the parameter server {init_info.checkpoint_engine_protocol}",
                "Install releases of checkpoint-engine-worker and of the npm packages that use the same protocol",
            )
        if init_info.report_to is None:
            self._receiver.check_awake()
        else:
            self._receiver.report(init_info.report_to, self._target_puller())

    def start_weight_update(self) -> None:
        """Does nothing: the model changes when the first bytes arrive."""

    def receive_weights(self, update_info: UpdateInfo) -> None:
        """Receives the complete update."""
        # A draft model is small and has a separate pass: it goes through its loader.
        is_draft = self.model is not self._default_model
        main = self._default_model if is_draft else None
        puller = None if is_draft else self._target_puller()
        target = VllmTarget([(self.model, self.model_config)], self.vllm_config, self.device, main, puller)
        self._receiver.receive(update_info.handles, target, update_info.timeout_s, puller)

    def finish_weight_update(self) -> None:
        """Does nothing: the session has finished the update."""

    def shutdown(self) -> None:
        """Unmaps memory that is kept for the next update."""
        self._receiver.close()

    def _target_puller(self) -> EnginePuller | None:
        if self._puller is None:
            models = [(self._default_model, self._default_model_config)]
            self._puller = vllm_puller(models, self.vllm_config, self.device)
        return self._puller

    @staticmethod
    def trainer_send_weights(*_: Any, **__: Any) -> None:
        """Raises `NotImplementedError`: the parameter server sends weights. vLLM 0.26 requires the method."""
        raise NotImplementedError("The checkpoint-engine command sends the weights")


def _workers_of_host(vllm_config: Any) -> int:
    """Returns the number of the engine's workers on one host."""
    parallel = vllm_config.parallel_config
    hosts = getattr(parallel, "nnodes", 1) or 1
    return max(1, int(parallel.world_size) // int(hosts))
