"""Uses Mooncake's own Python like other programs do: owns memory, or reads that of others.

own SIZE SEED               prints {"peer", "address"}, then waits for the end of standard input
read PEER ADDRESS SIZE      prints the SHA-256 of what it read
write PEER ADDRESS SIZE     tries to overwrite registered memory, and prints the engine's answer
bench PEER ADDRESS SIZE BLOCK WAVE         reads once for each line of standard input, and prints the seconds that it took
"""

import ctypes
import hashlib
import json
import mmap
import os
import sys
import time

from mooncake.engine import TransferEngine


def pattern(size, seed):
    return bytes(((i % 65521) * 31 + (i >> 16) + seed) & 255 for i in range(size))


def memory(size):
    mapped = mmap.mmap(-1, size)
    return mapped, ctypes.addressof(ctypes.c_char.from_buffer(mapped))


def started():
    engine = TransferEngine()
    assert engine.initialize("127.0.0.1", "P2PHANDSHAKE", os.environ.get("MOONCAKE_PROTOCOL", "tcp"), "") == 0
    return engine


def own(size, seed):
    engine = started()
    mapped, address = memory(size)
    mapped[:] = pattern(size, seed) if seed else b"\1" * size
    assert engine.register_memory(address, size) == 0
    print(json.dumps({"peer": f"127.0.0.1:{engine.get_rpc_port()}", "address": str(address)}), flush=True)
    sys.stdin.read()


def read(peer, remote, size):
    engine = started()
    mapped, address = memory(size)
    assert engine.batch_transfer_sync_read(peer, [address], [remote], [size]) == 0
    print(hashlib.sha256(mapped).hexdigest())


def write(peer, remote, size):
    engine = started()
    mapped, address = memory(size)
    print(engine.batch_transfer_sync_write(peer, [address], [remote], [size]))


def bench(peer, remote, size, block, wave):
    engine = started()
    mapped, address = memory(size)
    blocks = [(start, min(block, size - start)) for start in range(0, size, block)]
    for _ in sys.stdin:
        mapped[:] = bytes(size)
        start = time.perf_counter()
        for first in range(0, len(blocks), wave):
            some = blocks[first : first + wave]
            local = [address + offset for offset, _ in some]
            there = [remote + offset for offset, _ in some]
            assert engine.batch_transfer_sync_read(peer, local, there, [length for _, length in some]) == 0
        print(time.perf_counter() - start, flush=True)


{"own": own, "read": read, "write": write, "bench": bench}[sys.argv[1]](
    *(argument if ":" in argument else int(argument) for argument in sys.argv[2:])
)
