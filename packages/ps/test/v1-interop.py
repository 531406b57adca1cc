"""The Python tool's own worker with the real torch, and a file on /dev/shm in place of device memory.

Prints one JSON line for every tensor that load_weights receives, and one for every other call.

usage: v1-interop.py ADDRESS PATH [SESSIONS]    with "-" for PATH the handle is the file's name
"""

import hashlib
import inspect
import json
import mmap
import sys

import torch
import zmq
from torch.multiprocessing import reductions

from checkpoint_engine import worker

ADDRESS, PATH = sys.argv[1:3]
SESSIONS = int(sys.argv[3]) if len(sys.argv) > 3 else 1
PARAMETERS = list(inspect.signature(reductions.rebuild_cuda_tensor).parameters)


def say(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


def open_file(*args):
    given = dict(zip(PARAMETERS, args, strict=True))
    assert given["tensor_cls"] is torch.Tensor and given["storage_cls"] is torch.storage.TypedStorage
    assert given["dtype"] is torch.uint8 and type(given["tensor_size"]) is torch.Size
    assert given["storage_device"] == 5, "the worker puts its own device in place"
    assert given["requires_grad"] is False and given["event_sync_required"] is False
    say("open", handle=given["storage_handle"].hex(), size=given["storage_size_bytes"])
    path = PATH if PATH != "-" else "/dev/shm/" + given["storage_handle"].rstrip(b"\0").decode()
    with open(path, "r+b") as file:
        return torch.frombuffer(mmap.mmap(file.fileno(), 0), dtype=torch.uint8)


class NoDevice:
    def __getattr__(self, name):
        return lambda *args: None


class DeviceManager(NoDevice):
    device_module = NoDevice()


def load_weights(weights):
    for name, tensor in weights:
        data = tensor.reshape(-1).view(torch.uint8).numpy().tobytes()
        say(
            "tensor",
            name=name,
            dtype=str(tensor.dtype),
            shape=list(tensor.shape),
            sha256=hashlib.sha256(data).hexdigest(),
        )


# The pickle names the function, so it must be in this module.
open_file.__module__, open_file.__qualname__ = reductions.__name__, "rebuild_cuda_tensor"
reductions.rebuild_cuda_tensor = open_file
worker.DeviceManager = DeviceManager
# Workers before 0.3.0 call these by their names.
for function in ("synchronize", "empty_cache", "ipc_collect"):
    setattr(torch.cuda, function, lambda *args: None)

try:
    context = zmq.Context()
    for _ in range(SESSIONS):
        worker.update_weights_from_ipc(context, ADDRESS, 5, run=load_weights, post_hook=lambda: say("hook"))
    say("end")
except Exception as error:
    say("raised", type=type(error).__name__, text=str(error))
