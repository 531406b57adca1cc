"""A worker as inference engines run it, without torch: REP socket, pickles, tracebacks as replies.

Started with an address and a JSON object of faults; prints one JSON line for everything that happens to it.
"""

import io
import json
import os
import pickle
import sys
import time
import traceback

import zmq

ADDRESS, FAULTS = sys.argv[1], json.loads(sys.argv[2])


def say(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


class Size(tuple):
    """Stands for torch.Size."""


class Dtype:
    def __init__(self, name):
        self.name = name


def open_buffer(*args):
    if FAULTS.get("open"):
        raise RuntimeError(FAULTS["open"])
    assert len(args) == 15
    handle, size, refcounter, event = args[7], args[8], args[11], args[13]
    assert isinstance(handle, bytes) and len(handle) == 64
    assert isinstance(refcounter, bytes) and isinstance(event, bytes)
    assert args[1] == (size,) and args[2] == (1,) and args[14] is False
    say("open", handle=handle.hex(), size=size)
    return args


class Reader(pickle.Unpickler):
    def find_class(self, module, name):
        known = {
            ("torch.multiprocessing.reductions", "rebuild_cuda_tensor"): open_buffer,
            ("torch", "Size"): Size,
            ("builtins", "RuntimeError"): RuntimeError,
        }
        if (module, name) in known:
            return known[module, name]
        assert module.split(".")[0] == "torch"
        return Dtype(name)


def read(data):
    return Reader(io.BytesIO(data)).load()


def failed(socket, error):
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    socket.send(b"\x80\x04N." if FAULTS.get("pickled") else text.encode())


def take(bucket):
    index = take.count
    take.count += 1
    if FAULTS.get("sleep_at") == index:
        time.sleep(FAULTS["sleep"])
    if FAULTS.get("die_at") == index:
        os._exit(7)
    if FAULTS.get("raise_at") == index:
        raise ValueError("bad tensor\nsecond line")
    say("bucket", tensors=[[t["name"], t["dtype"].name, list(t["shape"]), t["offset"]] for t in bucket])


take.count = 0


def serve(context):
    socket = context.socket(zmq.REP)
    socket.linger = 2000
    socket.connect(ADDRESS)
    say("connected")
    try:
        try:
            message = read(socket.recv())
            assert isinstance(message, tuple), message
            function, args = message
            function(*args)
            socket.send(b"")
        except Exception as error:
            failed(socket, error)
            socket.recv()
            raise
        released = False
        while True:
            message = read(socket.recv())
            if released:
                assert message is None, "only None after the release"
                if FAULTS.get("hook"):
                    raise RuntimeError(FAULTS["hook"])
                say("hook")
                socket.send(b"")
                return
            if message is None:
                released = True
                say("release")
                socket.send(b"")
                if FAULTS.get("old"):
                    return
            elif isinstance(message, Exception):
                raise message
            else:
                try:
                    take(message)
                    socket.send(b"")
                except Exception as error:
                    failed(socket, error)
    finally:
        socket.close()


def main():
    context = zmq.Context()
    time.sleep(FAULTS.get("late", 0))
    for _ in range(FAULTS.get("sessions", 1)):
        try:
            serve(context)
            say("end")
        except Exception as error:
            say("raised", type=type(error).__name__, text=str(error))
    context.term()


main()
