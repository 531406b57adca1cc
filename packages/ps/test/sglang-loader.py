"""Runs SGLang's own loader of DeepSeek models in the Python tool's own worker, with a file on /dev/shm as device memory.

usage: sglang-loader.py make DIR KIND DTYPE        writes a checkpoint: KIND of sglang_deepseek.py, DTYPE fp8 or bf16
       sglang-loader.py receive ADDRESS DIR KIND DTYPE

`receive` prints one JSON line: the number of calls, the parameters that differ from those of a single load of everything,
and how many parameters differ if each tensor of one attention block arrives in its own call.
"""

import json
import mmap
import os
import sys

import torch
import zmq
from safetensors.torch import load_file, save_file
from torch.multiprocessing import reductions

import sglang_deepseek
from checkpoint_engine import worker


def open_file(*args):
    # The handle is the ninth argument of rebuild_cuda_tensor, from 0: seven before it.
    name = args[7].rstrip(b"\0").decode()
    with open(f"/dev/shm/{name}", "r+b") as file:
        return torch.frombuffer(mmap.mmap(file.fileno(), 0), dtype=torch.uint8)


class NoDevice:
    def __getattr__(self, name):
        return lambda *args, **kwargs: None


class DeviceManager(NoDevice):
    device_module = NoDevice()


open_file.__module__, open_file.__qualname__ = reductions.__name__, "rebuild_cuda_tensor"
reductions.rebuild_cuda_tensor = open_file
worker.DeviceManager = DeviceManager
# Workers of older releases call these by their names.
for function in ("synchronize", "empty_cache", "ipc_collect"):
    setattr(torch.cuda, function, lambda *args, **kwargs: None)

class Keeper:
    """A loader with state, like vLLM's for the FP8 indexer: it keeps a weight, not a copy, until its scale arrives."""

    def __init__(self, wanted):
        self.wanted, self.kept, self.pairs, self.wrong = wanted, {}, 0, 0

    def take(self, weights):
        for name, tensor in weights:
            module, _, parameter = name.rpartition(".")
            if f"{module}.weight_scale_inv" not in self.wanted:
                continue
            entry = self.kept.setdefault(module, {})
            entry[parameter] = tensor
            if len(entry) < 2:
                continue
            del self.kept[module]
            self.pairs += 1
            for parameter, held in entry.items():
                right = self.wanted[f"{module}.{parameter}"]
                self.wrong += not torch.equal(held.view(torch.uint8), right.view(torch.uint8))


command, *rest = sys.argv[1:]
folder, kind, dtype = rest[-3:]
config = sglang_deepseek.CONFIGS[kind]
is_fp8 = dtype == "fp8"
if command == "make":
    os.makedirs(folder, exist_ok=True)
    save_file(sglang_deepseek.checkpoint(config, is_fp8, seed=1), f"{folder}/model.safetensors")
else:
    mixin = sglang_deepseek.load_mixin()
    tensors = load_file(f"{folder}/model.safetensors")
    whole, received = (sglang_deepseek.make_model(mixin, config, is_fp8) for _ in range(2))
    whole.do_load_weights(list(tensors.items()))
    calls = []
    keeper = Keeper(tensors)

    def run(weights):
        calls.append(len(weights))
        # A copy of the slot, overwritten after the call as the slot would be. The ranks share the slot itself.
        slot = [(name, tensor.clone()) for name, tensor in weights]
        received.do_load_weights(slot)
        keeper.take(slot)
        for _, tensor in slot:
            tensor.view(torch.uint8).fill_(0xA5)

    worker.update_weights_from_ipc(zmq.Context(), rest[0], 0, run=run, post_hook=received.post_load_weights)
    # The last layer's attention, one tensor per call: this loader drops tensors that do not arrive together.
    apart = sglang_deepseek.make_model(mixin, config, is_fp8)
    last = f"model.layers.{config.num_hidden_layers - 1}.self_attn."
    apart.do_load_weights([item for item in tensors.items() if not item[0].startswith(last)])
    for item in tensors.items():
        if item[0].startswith(last):
            apart.do_load_weights([item])
    print(
        json.dumps(
            {
                "calls": len(calls),
                "tensors": sum(calls),
                "wanted": len(tensors),
                "differences": sglang_deepseek.differences(whole, received),
                "keptPairs": keeper.pairs,
                "keptWrong": keeper.wrong + len(keeper.kept),
                "differencesApart": len(sglang_deepseek.differences(whole, apart)),
            }
        )
    )
