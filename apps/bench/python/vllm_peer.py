"""Runs the Python tool under torchrun, as users do, next to a vLLM server: registers once, updates several times.

usage: torchrun --nproc-per-node N vllm_peer.py --url URL --folder DIR [--updates 4]

Rank 0 prints one JSON line with times in seconds.
"""

import argparse
import glob
import json
import os
import time
import urllib.request

from checkpoint_engine.ps import ParameterServer


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--updates", type=int, default=4)
    options = parser.parse_args()
    rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])

    def request(socket_paths: list[tuple[str, str]]) -> None:
        if rank > 0:
            return
        body = {"method": "update_weights_from_ipc", "args": [dict(socket_paths)], "timeout": 300}
        call = urllib.request.Request(
            f"{options.url}/collective_rpc", json.dumps(body).encode(), {"content-type": "application/json"}
        )
        urllib.request.urlopen(call, timeout=300).read()

    server = ParameterServer(auto_pg=True)
    files = sorted(glob.glob(f"{options.folder}/*.safetensors"))[rank::world_size]
    started = time.perf_counter()
    server.register_checkpoint("bench", files=files)
    figures = {"register_s": time.perf_counter() - started, "gather_s": [], "update_s": []}
    for _ in range(options.updates):
        started = time.perf_counter()
        server.gather_metas("bench")
        figures["gather_s"].append(time.perf_counter() - started)
        started = time.perf_counter()
        server.update("bench", request)
        figures["update_s"].append(time.perf_counter() - started)
    if rank == 0:
        print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
