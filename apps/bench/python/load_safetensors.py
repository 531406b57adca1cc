"""Measures how long the safetensors library takes to read a checkpoint into host memory, to compare registration.

usage: load_safetensors.py --dir DIR --threads N [--rounds 2]

Prints one JSON object with the seconds per round. The library maps files and reads a page when it is touched, so every
tensor is copied into separate memory, like in a training engine that closes the files.
"""

import argparse
import glob
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor

import torch
from safetensors import safe_open


def load(path: str, pin: bool) -> list[torch.Tensor]:
    with safe_open(path, framework="pt") as file:
        tensors = [file.get_tensor(name) for name in file.keys()]
    return [tensor.pin_memory() if pin and tensor.numel() else tensor.clone() for tensor in tensors]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    paths = sorted(glob.glob(os.path.join(args.dir, "*.safetensors")))
    torch.set_num_threads(1)

    def seconds(threads: int, pin: bool) -> list[float]:
        took = []
        for _ in range(args.rounds):
            started = time.perf_counter()
            with ThreadPoolExecutor(threads) as pool:
                held = list(pool.map(lambda path: load(path, pin), paths))
            took.append(time.perf_counter() - started)
            del held
        return took

    result = {"one_thread_s": seconds(1, False), "threads_s": seconds(args.threads, False)}
    if torch.cuda.is_available():
        result["pinned_s"] = seconds(args.threads, True)
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
