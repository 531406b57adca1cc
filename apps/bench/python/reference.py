"""Runs one rank of the Python tool on the same weights: registers, gathers, updates, and prints one JSON object.

usage: RANK=r WORLD_SIZE=n MASTER_ADDR=a MASTER_PORT=p reference.py --dir DIR --engine-port PORT [--updates 3]
                                                       [--registers 1] [--bucket-gib 8 ...] [--startup-only]

Every rank registers the files r, r + n, r + 2n, ... as the tool's own launcher does.
"""

import argparse
import glob
import json
import os
import sys
import threading
import time
import urllib.request

started_at = float(os.environ.get("CHECKPOINT_ENGINE_BENCH_STARTED_AT", time.time()))

import torch  # noqa: E402
import torch.distributed as dist  # noqa: E402
from checkpoint_engine.ps import ParameterServer  # noqa: E402
from loguru import logger  # noqa: E402

WATCH_EVERY_S = 0.002


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", required=True)
    parser.add_argument("--engine-port", type=int, default=0)
    parser.add_argument("--updates", type=int, default=3)
    parser.add_argument("--registers", type=int, default=1)
    parser.add_argument("--bucket-gib", type=float, nargs="*", default=[8])
    parser.add_argument("--startup-only", action="store_true")
    args = parser.parse_args()
    # A line per bucket would add to the measured time, so only problems are logged.
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    files = sorted(glob.glob(os.path.join(args.dir, "*.safetensors")))[rank::world]
    base = f"http://127.0.0.1:{args.engine_port}"

    def request(handles: list[tuple[str, str]]) -> None:
        body = {"method": "update_weights_from_ipc", "args": [dict(handles)], "timeout": 300.0}
        call = urllib.request.Request(
            f"{base}/collective_rpc", data=json.dumps(body).encode(), headers={"content-type": "application/json"}
        )
        urllib.request.urlopen(call, timeout=300).read()

    def worker_stats() -> dict:
        with urllib.request.urlopen(f"{base}/stats", timeout=60) as answer:
            return json.loads(answer.read())["worker"]

    server = ParameterServer(auto_pg=True)
    torch.zeros(1, device="cuda")
    torch.cuda.synchronize()
    result: dict = {"torch": torch.__version__, "rank": rank, "ready_s": time.time() - started_at}
    if args.startup_only:
        print(json.dumps(result), flush=True)
        return

    result["register_s"] = []
    for index in range(args.registers):
        started = time.perf_counter()
        server.register_checkpoint(f"weights-{index}", files=files)
        result["register_s"].append(time.perf_counter() - started)
        if index + 1 < args.registers:
            server.unregister_checkpoint(f"weights-{index}")
    name = f"weights-{args.registers - 1}"
    started = time.perf_counter()
    server.gather_metas(name)
    result["gather_s"] = time.perf_counter() - started

    def update() -> float:
        started = time.perf_counter()
        server.update(name, request)
        return time.perf_counter() - started

    result["buckets"] = []
    for bucket_gib in args.bucket_gib:
        os.environ["PS_MAX_BUCKET_SIZE_GB"] = str(bucket_gib)
        figures: dict = {"bucket_gib": bucket_gib, "device_memory_bytes": watched(update)}
        # As shipped: every update creates and destroys the process group.
        server._auto_pg = True
        figures["update_s"] = [update() for _ in range(args.updates)]
        figures["worker"] = worker_stats()
        # The same with the process group kept between the updates.
        server._auto_pg = False
        server.init_process_group()
        update()
        figures["update_kept_group_s"] = []
        for _ in range(args.updates):
            dist.barrier()
            figures["update_kept_group_s"].append(update())
        figures["worker_kept_group"] = worker_stats()
        dist.barrier()
        dist.destroy_process_group()
        result["buckets"].append(figures)
    print(json.dumps(result), flush=True)


def watched(work) -> int:
    """The most device memory in use during the run, in addition to the memory in use before."""
    free_before, _ = torch.cuda.mem_get_info()
    min_free = free_before
    done = threading.Event()

    def watch() -> None:
        nonlocal min_free
        while not done.wait(WATCH_EVERY_S):
            min_free = min(min_free, torch.cuda.mem_get_info()[0])

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        work()
    finally:
        done.set()
        thread.join()
    return free_before - min_free


if __name__ == "__main__":
    main()
