"""Updates a running engine in place, from process memory, and prints its answers after each update.

python in_place.py MODEL_A MODEL_B OPTIONS PROMPTS     OPTIONS: further arguments of `vllm.LLM`, in JSON

The engine starts with A and receives B, A and B through the modules of the receiver: the first B by a load that is
compared, the others by pulls. It then discards the result of the comparison, and receives A through representatives, and B.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"

import numpy as np
import torch
from checkpoint_engine_worker.pull_types import Places, TensorMeta
from checkpoint_engine_worker.vllm.puller import vllm_puller
from checkpoint_engine_worker.vllm.target import VllmTarget
from safetensors import safe_open
from vllm import LLM, SamplingParams

SHARED = Path("/dev/shm")  # noqa: S108


def weights_of(folder: str) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint."""
    found = {}
    for path in sorted(Path(folder).glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            found.update({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    return found


class Pool:
    """A checkpoint in shared memory, as a parameter server offers it."""

    def __init__(self, name: str, weights: dict[str, torch.Tensor]) -> None:
        self.weights = weights
        data = [bytes(tensor.contiguous().view(torch.uint8).numpy()) for tensor in weights.values()]
        sizes = np.array([len(part) for part in data], dtype=np.int64)
        count = len(sizes)
        self.region = (0, name.encode(), int(sizes.sum()))
        self.places = Places(
            np.arange(count, dtype=np.uint32),
            np.zeros(count, dtype=np.int64),
            sizes,
            np.zeros(count, dtype=np.uint32),
            np.cumsum(sizes) - sizes,
        )
        (SHARED / name).write_bytes(b"".join(data))
        (SHARED / name).chmod(0o600)


@contextmanager
def pools(*folders: str) -> Iterator[list[Pool]]:
    """The checkpoints, until the engine has received them."""
    started = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    prefix = f"checkpoint-engine-{os.geteuid()}-{os.getpid()}-{started}-"
    names = [f"{prefix}{secrets.token_hex(8)}" for _ in folders]
    try:
        yield [Pool(name, weights_of(folder)) for name, folder in zip(names, folders, strict=True)]
    finally:
        for name in names:
            (SHARED / name).unlink(missing_ok=True)


def main(a: str, b: str, options: str, prompts: str) -> None:
    """Runs the updates."""
    arguments = {"skip_tokenizer_init": True, "enforce_eager": True, "max_model_len": 256, "max_num_seqs": 4}
    llm = LLM(model=a, dtype="bfloat16", **arguments, **json.loads(options))
    worker = llm.llm_engine.model_executor.driver_worker
    worker = getattr(worker, "worker", worker)
    models = [(worker.get_model(), worker.model_config)]
    puller = vllm_puller(models, worker.vllm_config, worker.device, worker.model_runner)
    if puller is None:
        raise SystemExit("Pulling is switched off")

    def tokens() -> list[list[int]]:
        llm.reset_prefix_cache()
        sampling = SamplingParams(temperature=0, max_tokens=16, detokenize=False)
        outputs = llm.generate([{"prompt_token_ids": prompt} for prompt in json.loads(prompts)], sampling)
        return [list(output.outputs[0].token_ids) for output in outputs]

    def update(pool: Pool) -> dict[str, Any]:
        metas = [TensorMeta(name, "BF16", tuple(tensor.shape)) for name, tensor in pool.weights.items()]
        if not puller.knows("metas"):
            puller.learn("metas", metas)
        needs, _ = puller.needs()
        rest = [metas[i].name for i in needs.rest.tolist()]
        puller.map(pool.region[1].decode(), [pool.region], pool.places)
        target = VllmTarget(models, worker.vllm_config, worker.device)
        if rest:
            puller.watch_load()
            target.begin()
            target.load((name, pool.weights[name]) for name in rest)
        pulled = puller.pull(None) if len(needs.tensor) else 0
        if rest:
            target.finish()
        if pulled:
            puller.refresh()
        puller.prove(None, is_last=True)
        return {"tokens": tokens(), "pulled": pulled, "rest": rest, **puller.describe()["summary"]}

    updates = []
    with pools(a, b) as (pool_a, pool_b):
        for pool in (pool_b, pool_a, pool_b):
            updates.append(update(pool))
        puller.forget()
        os.environ["CHECKPOINT_ENGINE_REPRESENTATIVES"] = "1"
        for pool in (pool_a, pool_b):
            updates.append(update(pool))
        puller.layouts.unmap()
    print("UPDATES", json.dumps(updates))


if __name__ == "__main__":
    main(*sys.argv[1:])
