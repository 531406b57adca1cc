"""Runs a Mooncake Transfer Engine in a separate process.

The parent sends requests to standard input and reads answers from standard output, as frames of a little-endian 32-bit
length and JSON. A request has an id and an op; its answer has the id and either a value or an error. The process ends
with its standard input.

    open    {host, protocol, devices}                                           -> {port}
            starts the engine
    map     {paths, device, inode, offset, size, share, writable}               -> {segment, address}
            maps a file, and registers it with the engine if it is shared
    unmap   {segment}
    read    {peer, waves}                                                       -> {cancelled}
            reads waves of [segment, offset, remote address, size]
    cancel  {read}
            ends a read after its current wave; has no answer

With the argument --probe it describes the installed Mooncake and ends. The engine is that of the Python module
mooncake, or that of the shared library that CHECKPOINT_ENGINE_MOONCAKE_LIB names.
"""

import ctypes
import json
import mmap
import os
import signal
import struct
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
MAP_FAILED = ctypes.c_void_p(-1).value

# The functions of mooncake.engine.TransferEngine that it calls.
CALLS = ("initialize", "get_rpc_port", "register_memory", "unregister_memory", "batch_transfer_sync_read")
# Reads that run at the same time. The parent divides its limit of blocks in flight by this.
CONCURRENT_READS = 4


class Refused(Exception):
    """A request that failed. `status` is the engine's, if it returned one."""

    def __init__(self, text, status=None):
        super().__init__(text)
        self.status = status


class Mapping:
    """A range of a file in this process's memory, shared with every process that maps the file."""

    def __init__(self, paths, device, inode, offset, size, writable):
        descriptor = self._open(paths, device, inode, os.O_RDWR if writable else os.O_RDONLY)
        try:
            if os.fstat(descriptor).st_size < offset + size:
                raise Refused("the file is shorter than the memory")
            skipped = offset % mmap.PAGESIZE
            access = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
            start = libc.mmap(None, skipped + size, access, mmap.MAP_SHARED, descriptor, offset - skipped)
            if start == MAP_FAILED:
                raise Refused(f"mmap: {os.strerror(ctypes.get_errno())}")
        finally:
            os.close(descriptor)
        self._whole = start, skipped + size
        self.address = start + skipped

    @staticmethod
    def _open(paths, device, inode, flags):
        failures = []
        for path in paths:
            try:
                descriptor = os.open(path, flags | os.O_CLOEXEC)
            except OSError as error:
                failures.append(str(error))
                continue
            found = os.fstat(descriptor)
            if (f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}", found.st_ino) == (device, inode):
                return descriptor
            os.close(descriptor)
            failures.append(f"{path} is another file now")
        raise Refused("; ".join(failures))

    def close(self):
        libc.munmap(*self._whole)


class Engine:
    """The engine and the memory that it may access."""

    def __init__(self):
        self._engine = None
        self._mappings = {}
        self._shared = set()
        self._cancelled = set()
        self._next_segment = 0

    def open(self, host, protocol, devices):
        opened = new_engine()
        status = opened.initialize(host, "P2PHANDSHAKE", protocol, devices)
        if status != 0:
            raise Refused("TransferEngine.initialize", status)
        self._engine = opened
        return {"port": opened.get_rpc_port()}

    def map(self, paths, device, inode, offset, size, share, writable):
        mapping = Mapping(paths, device, inode, offset, size, writable)
        if share:
            status = self._engine.register_memory(mapping.address, size)
            if status != 0:
                mapping.close()
                raise Refused("TransferEngine.register_memory", status)
        segment = self._next_segment
        self._next_segment += 1
        self._mappings[segment] = mapping
        if share:
            self._shared.add(segment)
        return {"segment": segment, "address": str(mapping.address)}

    def unmap(self, segment):
        mapping = self._mappings.pop(segment)
        if segment in self._shared:
            self._shared.discard(segment)
            status = self._engine.unregister_memory(mapping.address)
            if status != 0:
                # A peer may still read from it: it stays mapped until this process ends.
                self._mappings[segment] = mapping
                raise Refused("TransferEngine.unregister_memory", status)
        mapping.close()

    def read(self, read, peer, waves):
        try:
            for done, wave in enumerate(waves):
                if read in self._cancelled:
                    return {"cancelled": True}
                local = [self._mappings[segment].address + offset for segment, offset, _, _ in wave]
                remote = [int(address) for _, _, address, _ in wave]
                sizes = [size for _, _, _, size in wave]
                status = self._engine.batch_transfer_sync_read(peer, local, remote, sizes)
                if status != 0:
                    raise Refused(f"TransferEngine.batch_transfer_sync_read, {done} of {len(waves)} waves done", status)
            return {"cancelled": False}
        finally:
            self._cancelled.discard(read)

    def cancel(self, read):
        self._cancelled.add(read)


class Requests:
    """Reads and writes frames."""

    def __init__(self, source, target):
        self._source = source
        self._target = target
        self._writing = threading.Lock()

    def next(self):
        head = self._read(4)
        body = head and self._read(struct.unpack("<I", head)[0])
        return json.loads(body) if body else None

    def _read(self, size):
        chunks = []
        while size > 0:
            chunk = os.read(self._source, min(size, 1 << 20))
            if not chunk:
                return None
            chunks.append(chunk)
            size -= len(chunk)
        return b"".join(chunks)

    def answer(self, answer):
        body = json.dumps(answer).encode()
        data = memoryview(struct.pack("<I", len(body)) + body)
        with self._writing:
            while data:
                data = data[os.write(self._target, data) :]

    def run(self, request, work):
        """Runs a request and sends the answer."""
        try:
            self.answer({"id": request["id"], "value": work()})
        except Refused as error:
            self.answer({"id": request["id"], "error": str(error), "status": error.status})
        except Exception as error:  # The parent must learn of every error.
            self.answer({"id": request["id"], "error": f"{type(error).__name__}: {error}"})


def serve():
    # A terminal also sends Ctrl-C here. This process ignores it, and ends with standard input after it has served its
    # peers.
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    answers = os.dup(1)
    os.dup2(2, 1)  # The engine's output is not an answer.
    requests = Requests(0, answers)
    engine = Engine()
    memory = ThreadPoolExecutor(1)
    reads = ThreadPoolExecutor(CONCURRENT_READS)
    while (request := requests.next()) is not None:
        arguments = {name: value for name, value in request.items() if name not in ("id", "op")}
        operation = getattr(engine, request["op"])
        if request["op"] == "cancel":
            operation(**arguments)
        elif request["op"] == "read":
            reads.submit(requests.run, request, lambda o=operation, a=arguments, r=request["id"]: o(r, **a))
        else:
            memory.submit(requests.run, request, lambda o=operation, a=arguments: o(**a))
    os._exit(0)  # does not wait: a stuck transfer would never end


def new_engine():
    path = os.environ.get("CHECKPOINT_ENGINE_MOONCAKE_LIB")
    if not path:
        from mooncake import engine

        return engine.TransferEngine()
    import library

    return library.TransferEngine(library.Library(path))


def probe():
    path = os.environ.get("CHECKPOINT_ENGINE_MOONCAKE_LIB")
    if path:
        import library

        library.Library(path)
        return {"file": path, "distribution": None, "version": None, "efa": False, "lacks": []}
    from importlib import metadata

    from mooncake import engine

    owners = metadata.packages_distributions() if sys.version_info >= (3, 10) else {}
    distribution = owners.get("mooncake", [None])[0]
    return {
        "file": engine.__file__,
        "distribution": distribution,
        "version": metadata.version(distribution) if distribution else None,
        "efa": bool(getattr(engine, "SUPPORT_EFA", False)),
        "lacks": [name for name in CALLS if not hasattr(engine.TransferEngine, name)],
    }


if __name__ == "__main__":
    if "--probe" in sys.argv:
        print(json.dumps(probe()))
    else:
        serve()
