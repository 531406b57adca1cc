"""CUDA memory of another process, opened by its 64-byte handle through the driver.

The driver's own calls are used in place of torch's, whose private functions differ from release to release and keep
counters for memory that torch itself shares.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import TYPE_CHECKING, Any

from checkpoint_engine_worker.errors import CheckpointEngineError
from checkpoint_engine_worker.tensors.torch_module import torch_module

if TYPE_CHECKING:
    import torch

HANDLE_BYTES = 64

_LAZY_ENABLE_PEER_ACCESS = 1


class _IpcHandle(ctypes.Structure):
    _fields_ = (("reserved", ctypes.c_ubyte * HANDLE_BYTES),)


class CudaMemory:
    """Memory that another process allocated. Its tensors are valid until `close`."""

    def __init__(self, handle: bytes, size_bytes: int, device: torch.device) -> None:
        """Opens the memory on a device.

        Raises:
            CheckpointEngineError: `CE_DEVICE_FAILED`.
        """
        if len(handle) != HANDLE_BYTES:
            raise _failed(f"a handle has {HANDLE_BYTES} bytes, got {len(handle)}")
        self._device = device
        self._size_bytes = size_bytes
        self._address = 0
        torch = torch_module()
        # The first use of the device on this thread makes torch's context current, and the handle is opened in it.
        with torch.cuda.device(device):
            torch.cuda.synchronize(device)
            address = ctypes.c_uint64()
            opened = _IpcHandle.from_buffer_copy(handle)
            _check(
                _driver().cuIpcOpenMemHandle_v2(ctypes.byref(address), opened, _LAZY_ENABLE_PEER_ACCESS),
                "cuIpcOpenMemHandle",
            )
        self._address = address.value

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": (self._size_bytes,),
            "typestr": "|u1",
            "data": (self._address, False),
            "version": 3,
            "strides": None,
        }

    def tensor(self) -> torch.Tensor:
        """Returns the bytes, without a copy."""
        return torch_module().as_tensor(self, device=self._device)

    def close(self) -> None:
        """Unmaps the memory after pending reads on the device are done. Idempotent."""
        address, self._address = self._address, 0
        if address == 0:
            return
        torch = torch_module()
        with torch.cuda.device(self._device):
            torch.cuda.synchronize(self._device)
            _check(_driver().cuIpcCloseMemHandle(ctypes.c_uint64(address)), "cuIpcCloseMemHandle")


@cache
def _driver() -> Any:
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise _failed(str(error)) from error
    driver.cuIpcOpenMemHandle_v2.argtypes = [ctypes.POINTER(ctypes.c_uint64), _IpcHandle, ctypes.c_uint]
    driver.cuIpcCloseMemHandle.argtypes = [ctypes.c_uint64]
    driver.cuGetErrorName.argtypes = [ctypes.c_int, ctypes.POINTER(ctypes.c_char_p)]
    return driver


def _check(status: int, call: str) -> None:
    if status == 0:
        return
    name = ctypes.c_char_p()
    _driver().cuGetErrorName(status, ctypes.byref(name))
    raise _failed(f"{call}: {(name.value or b'unknown error').decode()} ({status})")


def _failed(why: str) -> CheckpointEngineError:
    return CheckpointEngineError(
        "CE_DEVICE_FAILED",
        f"The parameter server's device memory cannot be opened: {why}",
        "Run both processes in the same PID and IPC namespaces (--pid=host --ipc=host); run `checkpoint-engine doctor`",
    )
