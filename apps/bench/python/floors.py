"""Measures the links between host and GPUs without any of the product's code, as one rank.

usage: RANK=r WORLD_SIZE=n MASTER_ADDR=a MASTER_PORT=p floors.py

Rank 0 prints one JSON object. Rates are 1e9 bytes per second, for the slowest GPU.
"""

import json
import os
import time

import torch
import torch.distributed as dist

PIECE = 128 * 2**20
PIECES = 32
ROUNDS = 3


def main() -> None:
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    torch.cuda.set_device(rank)
    device = torch.device("cuda", rank)
    host = torch.empty(8 * PIECE, dtype=torch.uint8).fill_(1).pin_memory()
    staging = torch.empty(2 * PIECE, dtype=torch.uint8, device=device)
    ring = torch.empty(2 * PIECE, dtype=torch.uint8, device=device)
    copies = torch.cuda.Stream()
    if world > 1:
        dist.init_process_group("nccl", device_id=device)

    def together() -> None:
        torch.cuda.synchronize()
        if world > 1:
            dist.barrier()
        torch.cuda.synchronize()

    def copy(pieces: int) -> None:
        with torch.cuda.stream(copies):
            for index in range(pieces):
                source = host[index % 8 * PIECE : (index % 8 + 1) * PIECE]
                staging[index % 2 * PIECE : (index % 2 + 1) * PIECE].copy_(source, non_blocking=True)

    def broadcast(pieces: int) -> None:
        for index in range(pieces):
            dist.broadcast(ring[index % 2 * PIECE : (index % 2 + 1) * PIECE], src=index % world)

    def seconds(*work) -> float:
        best = float("inf")
        for _ in range(ROUNDS):
            together()
            started = time.perf_counter()
            for one in work:
                one()
            torch.cuda.synchronize()
            best = min(best, slowest(time.perf_counter() - started))
        return best

    def slowest(value: float) -> float:
        if world == 1:
            return value
        tensor = torch.tensor([value], device=device)
        dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
        return tensor.item()

    def rate(pieces: int, took: float) -> float:
        return pieces * PIECE / took / 1e9

    copy(4)
    result = {"torch": torch.__version__, "nccl": ".".join(map(str, torch.cuda.nccl.version()))}
    result["h2d_alone_GBps"] = rate(PIECES, seconds(lambda: copy(PIECES) if rank == 0 else None))
    result["h2d_all_GBps"] = rate(PIECES, seconds(lambda: copy(PIECES)))
    if world > 1:
        broadcast(2 * world)
        result["broadcast_GBps"] = rate(PIECES, seconds(lambda: broadcast(PIECES)))
        # As in an update, every GPU copies its share from the host while everything is broadcast.
        both = seconds(lambda: copy(PIECES // world), lambda: broadcast(PIECES))
        result["both_GBps"] = rate(PIECES, both)
        dist.destroy_process_group()
    if rank == 0:
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
