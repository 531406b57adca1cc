"""Wraps Mooncake's C API in the interface of its Python module.

Only the functions that engine.py calls. The C API aborts or crashes on unexpected input, so this module checks everything:
it never passes a null pointer, and never frees a batch twice or before its last task has ended.

Source: mooncake-transfer-engine/include/transfer_engine_c.h, unchanged in these functions since 0.3.5.
"""

import ctypes
import json
import os
import time
from ctypes import POINTER, Structure, c_char_p, c_int, c_int32, c_size_t, c_uint64, c_void_p

POLL_SECONDS = 0.0005
COMPLETED = 4
ENDED = {2, 3, COMPLETED, 5, 6}  # invalid, cancelled, completed, timed out, failed
NO_BATCH = 2**64 - 1


class TransferRequest(Structure):
    _fields_ = [
        ("opcode", c_int),
        ("source", c_void_p),
        ("target_id", c_int32),
        ("target_offset", c_uint64),
        ("length", c_uint64),
    ]


class TransferStatus(Structure):
    _fields_ = [("status", c_int), ("transferred_bytes", c_uint64)]


assert (ctypes.sizeof(TransferRequest), ctypes.sizeof(TransferStatus)) == (40, 16)

SIGNATURES = {
    "createTransferEngine": (c_void_p, [c_char_p, c_char_p, c_char_p, c_uint64, c_int]),
    "installTransport": (c_void_p, [c_void_p, c_char_p, POINTER(c_void_p)]),
    "getLocalIpAndPort": (c_int, [c_void_p, ctypes.c_char_p, c_size_t]),
    "registerLocalMemory": (c_int, [c_void_p, c_void_p, c_size_t, c_char_p, c_int]),
    "unregisterLocalMemory": (c_int, [c_void_p, c_void_p]),
    "openSegment": (c_int32, [c_void_p, c_char_p]),
    "allocateBatchID": (c_uint64, [c_void_p, c_size_t]),
    "submitTransfer": (c_int, [c_void_p, c_uint64, POINTER(TransferRequest), c_size_t]),
    "getTransferStatus": (c_int, [c_void_p, c_uint64, c_size_t, POINTER(TransferStatus)]),
    "freeBatchID": (c_int, [c_void_p, c_uint64]),
}


class Library:
    """Opens the shared library. Raises OSError or AttributeError if it is unusable."""

    def __init__(self, path):
        # Lazy binding: builds for accelerators name functions of drivers that some hosts lack and that TCP never calls.
        loaded = ctypes.CDLL(path, mode=os.RTLD_LAZY)
        for name, (result, arguments) in SIGNATURES.items():
            function = getattr(loaded, name)
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)


class TransferEngine:
    """Has the names and results of mooncake.engine.TransferEngine."""

    def __init__(self, library):
        self._c = library
        self._engine = None

    def initialize(self, host, metadata, protocol, devices):
        name = host.encode()
        engine = self._c.createTransferEngine(metadata.encode(), name, name, 0, 0)
        if not engine:
            return -1
        options = None
        if protocol == "rdma":
            # Which devices serve which memory: all serve all of it.
            topology = ctypes.create_string_buffer(json.dumps({"cpu:0": [devices.split(","), []]}).encode())
            options = (c_void_p * 2)(ctypes.addressof(topology), None)
        if not self._c.installTransport(engine, protocol.encode(), options):
            return -1
        self._engine = engine
        return 0

    def get_rpc_port(self):
        address = ctypes.create_string_buffer(256)
        if self._c.getLocalIpAndPort(self._engine, address, len(address)) != 0:
            return 0
        return int(address.value.decode().rsplit(":", 1)[1])

    def register_memory(self, address, size):
        return self._c.registerLocalMemory(self._engine, address, size, b"*", 1)

    def unregister_memory(self, address):
        return self._c.unregisterLocalMemory(self._engine, address)

    def batch_transfer_sync_read(self, peer, local, remote, sizes):
        segment = self._c.openSegment(self._engine, peer.encode())
        if segment < 0:
            return segment
        count = len(sizes)
        batch = self._c.allocateBatchID(self._engine, count)
        if batch == NO_BATCH:
            return -1
        requests = (TransferRequest * count)()
        for request, source, offset, size in zip(requests, local, remote, sizes):
            request.opcode, request.source, request.target_id = 0, source, segment
            request.target_offset, request.length = offset, size
        if self._c.submitTransfer(self._engine, batch, requests, count) != 0:
            return -1  # some tasks may still run: the batch stays, and the process ends soon
        failures = sum(self._end_of(batch, task) != COMPLETED for task in range(count))
        self._c.freeBatchID(self._engine, batch)
        return -1 if failures else 0

    def _end_of(self, batch, task):
        """Waits for a task. The only limit is the parent, which ends this process."""
        status = TransferStatus()
        while self._c.getTransferStatus(self._engine, batch, task, ctypes.byref(status)) == 0:
            if status.status in ENDED:
                return status.status
            time.sleep(POLL_SECONDS)
        return None
