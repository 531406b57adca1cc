"""Mooncake's own Python, as others use it: owns memory, or reads somebody's.

own SIZE SEED               prints {"peer", "address"}, then waits for the end of standard input
read PEER ADDRESS SIZE      prints the SHA-256 of what it read
bench PEER ADDRESS SIZE BLOCK WAVE TIMES   prints the best rate in GB/s
"""

import ctypes
import hashlib
import json
import mmap
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
    assert engine.initialize("127.0.0.1", "P2PHANDSHAKE", "tcp", "") == 0
    return engine


def own(size, seed):
    engine = started()
    mapped, address = memory(size)
    mapped[:] = pattern(size, seed)
    assert engine.register_memory(address, size) == 0
    print(json.dumps({"peer": f"127.0.0.1:{engine.get_rpc_port()}", "address": str(address)}), flush=True)
    sys.stdin.read()


def read(peer, remote, size):
    engine = started()
    mapped, address = memory(size)
    assert engine.batch_transfer_sync_read(peer, [address], [remote], [size]) == 0
    print(hashlib.sha256(mapped).hexdigest())


def bench(peer, remote, size, block, wave, times):
    engine = started()
    mapped, address = memory(size)
    mapped[:] = bytes(size)
    blocks = [(start, min(block, size - start)) for start in range(0, size, block)]
    rates = []
    for _ in range(times):
        start = time.perf_counter()
        for first in range(0, len(blocks), wave):
            some = blocks[first : first + wave]
            starts = [offset for offset, _ in some]
            sizes = [length for _, length in some]
            assert engine.batch_transfer_sync_read(
                peer, [address + offset for offset in starts], [remote + offset for offset in starts], sizes
            ) == 0
        rates.append(size / (time.perf_counter() - start) / 1e9)
    print(json.dumps(rates))


{"own": own, "read": read, "bench": bench}[sys.argv[1]](
    *(argument if ":" in argument else int(argument) for argument in sys.argv[2:])
)
