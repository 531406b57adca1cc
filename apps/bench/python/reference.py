"""The Python tool on the same weights: registers, gathers and updates, and prints one JSON object.

usage: reference.py --dir DIR --engine-port PORT --uuid UUID [--updates 3] [--keep-group]
"""

import argparse
import glob
import json
import os
import time
import urllib.request

os.environ.setdefault("RANK", "0")
os.environ.setdefault("WORLD_SIZE", "1")
os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
os.environ.setdefault("MASTER_PORT", "29511")

import torch  # noqa: E402
from checkpoint_engine.ps import ParameterServer  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", required=True)
    parser.add_argument("--engine-port", type=int, required=True)
    parser.add_argument("--updates", type=int, default=3)
    parser.add_argument("--registers", type=int, default=2)
    args = parser.parse_args()
    files = sorted(glob.glob(os.path.join(args.dir, "*.safetensors")))

    def request(handles: list[tuple[str, str]]) -> None:
        body = {"method": "update_weights_from_ipc", "args": [dict(handles)], "timeout": 300.0}
        call = urllib.request.Request(
            f"http://127.0.0.1:{args.engine_port}/collective_rpc",
            data=json.dumps(body).encode(),
            headers={"content-type": "application/json"},
        )
        urllib.request.urlopen(call, timeout=300).read()

    result: dict = {"torch": torch.__version__, "register_s": [], "update_s": [], "update_kept_group_s": []}
    server = ParameterServer(auto_pg=True)
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
    for _ in range(args.updates):
        started = time.perf_counter()
        server.update(name, request)
        result["update_s"].append(time.perf_counter() - started)
    # The same with its process group kept between the updates.
    server._auto_pg = False
    if not torch.distributed.is_initialized():
        server.init_process_group()
    for _ in range(args.updates):
        started = time.perf_counter()
        server.update(name, request)
        result["update_kept_group_s"].append(time.perf_counter() - started)
    free, total = torch.cuda.mem_get_info()
    result["device_used_bytes"] = total - free
    torch.distributed.destroy_process_group()
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
