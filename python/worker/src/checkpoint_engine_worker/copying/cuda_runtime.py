"""Calls of the CUDA runtime that torch does not offer, through the library that torch has loaded.

Torch must be imported first. `ctypes` releases the interpreter's lock during a call.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

from checkpoint_engine_worker.errors import CheckpointEngineError

_HOST_TO_DEVICE_OR_ANY = 4  # cudaMemcpyDefault
_REGISTER_PORTABLE_MAPPED = 1 | 2
_REGISTER_READ_ONLY = 8
_ALREADY_REGISTERED = 712


@cache
def _library() -> Any:
    """Returns the runtime that is already loaded: a second copy would have a separate state."""
    with open("/proc/self/maps") as maps:
        paths = {line.split(maxsplit=5)[5].strip() for line in maps if "libcudart" in line}
    name = sorted(paths)[0] if paths else "libcudart.so"
    try:
        library = ctypes.CDLL(name)
    except OSError as error:
        raise _failed(str(error)) from error
    size, pointer = ctypes.c_size_t, ctypes.c_void_p
    library.cudaHostRegister.argtypes = [pointer, size, ctypes.c_uint]
    library.cudaHostUnregister.argtypes = [pointer]
    library.cudaHostGetDevicePointer.argtypes = [ctypes.POINTER(pointer), pointer, ctypes.c_uint]
    library.cudaMemcpyAsync.argtypes = [pointer, pointer, size, ctypes.c_int, pointer]
    library.cudaMemcpy2DAsync.argtypes = [pointer, size, pointer, size, size, size, ctypes.c_int, pointer]
    library.cudaGetErrorString.restype = ctypes.c_char_p
    return library


def register_host_memory(address: int, size_bytes: int) -> bool:
    """Page-locks memory for all devices, read-only if the platform can. Returns False if it was page-locked before."""
    for flags in (_REGISTER_PORTABLE_MAPPED | _REGISTER_READ_ONLY, _REGISTER_PORTABLE_MAPPED):
        status = _library().cudaHostRegister(address, size_bytes, flags)
        if status == 0:
            return True
        _library().cudaGetLastError()
        if status == _ALREADY_REGISTERED:
            return False
    raise _failed(f"cudaHostRegister of {size_bytes} bytes: {_text(status)}")


def unregister_host_memory(address: int) -> None:
    """Ends page-locking. Errors of a device that failed before are not raised again."""
    if _library().cudaHostUnregister(address) != 0:
        _library().cudaGetLastError()


def device_address(address: int) -> int:
    """Returns the address of page-locked memory for the current device."""
    found = ctypes.c_void_p()
    _check(_library().cudaHostGetDevicePointer(ctypes.byref(found), address, 0), "cudaHostGetDevicePointer")
    return found.value or address


def copy_async(destination: int, source: int, size_bytes: int, stream: int) -> None:
    """Copies one run with a copy engine."""
    status = _library().cudaMemcpyAsync(destination, source, size_bytes, _HOST_TO_DEVICE_OR_ANY, stream)
    _check(status, "cudaMemcpyAsync")


def copy_rows_async(
    destination: int, pitch: int, source: int, source_pitch: int, row_bytes: int, rows: int, stream: int
) -> None:
    """Copies rows at two pitches with a copy engine."""
    status = _library().cudaMemcpy2DAsync(
        destination, pitch, source, source_pitch, row_bytes, rows, _HOST_TO_DEVICE_OR_ANY, stream
    )
    _check(status, "cudaMemcpy2DAsync")


def _check(status: int, call: str) -> None:
    if status != 0:
        raise _failed(f"{call}: {_text(status)}")


def _text(status: int) -> str:
    return f"{(_library().cudaGetErrorString(status) or b'unknown error').decode()} ({status})"


def _failed(why: str) -> CheckpointEngineError:
    return CheckpointEngineError(
        "CE_DEVICE_FAILED", f"Weights cannot be pulled into the device: {why}", "Update the engine by buckets"
    )
