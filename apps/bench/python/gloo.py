"""Measures broadcasts of torch's gloo backend between processes of this host, as one rank.

usage: RANK=r WORLD_SIZE=n MASTER_ADDR=a MASTER_PORT=p gloo.py --bytes N

Every rank in turn is the root of a piece, as in an update. Rank 0 prints one JSON object with the seconds of each round.
"""

import argparse
import json
import os
import time

import torch
import torch.distributed as dist

PIECE = 16 * 2**20
ROUNDS = 3


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bytes", type=int, required=True)
    args = parser.parse_args()
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    piece = torch.full((PIECE,), rank, dtype=torch.uint8)
    rounds = []
    for _ in range(ROUNDS):
        dist.barrier()
        started = time.perf_counter()
        for index in range(-(-args.bytes // PIECE)):
            dist.broadcast(piece, src=index % world)
        dist.barrier()
        rounds.append(time.perf_counter() - started)
    if rank == 0:
        print(json.dumps({"torch": torch.__version__, "seconds": rounds, "bytes": -(-args.bytes // PIECE) * PIECE}), flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
