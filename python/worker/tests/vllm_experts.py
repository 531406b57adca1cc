"""Run by `test_vllm_experts.py` in an environment with vLLM: one of two ranks that divide the experts of a model.

python vllm_experts.py MODEL_A MODEL_B RANK GROUP_FILE     loads A, records and proves it, then pulls B, A and B

The ranks have vLLM's own classes and loaders on the CPU. Nothing is computed, and weights stay as they are loaded, as
on GPUs: vLLM's kernels for CPUs pack them. Prints one JSON object.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.update(VLLM_ENABLE_V1_MULTIPROCESSING="0", VLLM_CPU_KVCACHE_SPACE="1", HF_HUB_OFFLINE="1")
os.environ["VLLM_DIST_IDENT"] = f"rank-{sys.argv[3]}"

import numpy as np
import torch
from safetensors import safe_open
from vllm.config import set_current_vllm_config
from vllm.distributed import init_distributed_environment, initialize_model_parallel
from vllm.engine.arg_utils import EngineArgs
from vllm.model_executor.model_loader.reload import record_metadata_for_reloading
from vllm.model_executor.model_loader.utils import initialize_model

from checkpoint_engine_worker.copying.pull_table import PullTable
from checkpoint_engine_worker.proof.proof import prove
from checkpoint_engine_worker.proof.representatives import represent
from checkpoint_engine_worker.pull_types import MappedRegion, Places, TensorMeta
from checkpoint_engine_worker.recorder.record import record
from checkpoint_engine_worker.recording.fingerprint import fingerprint_of, metas_digest
from checkpoint_engine_worker.vllm.recording import vllm_context, vllm_engine

NAMES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float8_e4m3fn: "F8_E4M3"}
RANKS = 2


def weights_of(folder: str) -> dict[str, torch.Tensor]:
    found = {}
    for path in sorted(Path(folder).glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            found.update({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    return dict(sorted(found.items()))


def raw(tensor: torch.Tensor) -> bytes:
    return bytes(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy())


def model_of(folder: str, rank: int, group: str) -> tuple[Any, Any]:
    vllm_config = EngineArgs(
        model=folder,
        skip_tokenizer_init=True,
        enforce_eager=True,
        max_model_len=256,
        dtype="bfloat16",
        tensor_parallel_size=RANKS,
        enable_expert_parallel=True,
        distributed_executor_backend="mp",
    ).create_engine_config()
    vllm_config.parallel_config.rank = rank
    with set_current_vllm_config(vllm_config), torch.device("cpu"):
        init_distributed_environment(RANKS, rank, f"file://{group}", rank, "gloo")
        initialize_model_parallel(RANKS, 1)
        torch.set_default_dtype(torch.bfloat16)
        model = initialize_model(vllm_config)
        torch.set_default_dtype(torch.float32)
        record_metadata_for_reloading(model)
    for module in model.modules():
        holders: tuple[Any, ...] = (getattr(module, "quant_method", None), module)
        for holder in holders:
            if hasattr(holder, "process_weights_after_loading"):
                holder.process_weights_after_loading = lambda *_: None
    return model, vllm_config


def main() -> None:
    folders, rank, group = sys.argv[1:3], int(sys.argv[3]), sys.argv[4]
    model, vllm_config = model_of(folders[0], rank, group)
    device = torch.device("cpu")
    a, b = (weights_of(folder) for folder in folders)

    def digests() -> dict[str, str]:
        return {name: hashlib.sha256(raw(p.data)).hexdigest() for name, p in model.named_parameters()}

    def loaded(weights: dict[str, torch.Tensor]) -> dict[str, str]:
        for parameter in model.parameters():
            parameter.data.view(torch.uint8).zero_()
        with vllm_context(vllm_config, device):
            model.load_weights(iter([(name, tensor.clone()) for name, tensor in weights.items()]))
        return digests()

    of_b, of_a = loaded(b), loaded(a)
    metas = [TensorMeta(name, NAMES[t.dtype], tuple(t.shape)) for name, t in a.items()]
    sizes = np.array([meta.size_bytes for meta in metas], dtype=np.int64)
    starts, count, total = np.cumsum(sizes) - sizes, len(metas), int(sizes.sum())
    memory = ctypes.create_string_buffer(total)
    regions = {0: MappedRegion(ctypes.addressof(memory), total, memory)}
    zero32, zero = np.zeros(count, dtype=np.uint32), np.zeros(count, dtype=np.int64)
    places = Places(np.arange(count, dtype=np.uint32), zero, sizes, zero32, starts)

    def fill(weights: dict[str, torch.Tensor]) -> None:
        for start, tensor in zip(starts.tolist(), weights.values(), strict=True):
            data = raw(tensor)
            ctypes.memmove(regions[0].address + start, data, len(data))

    engine = vllm_engine([(model, vllm_config.model_config)], vllm_config, device)
    result: dict[str, Any] = {"ways": [], "all_bytes": total}
    for way in ("prove", "represent"):
        recording = record(engine, metas)
        fill(a)
        found = prove(recording, places, regions, device) if way == "prove" else represent(engine, recording)
        untouched = digests() == of_a
        found.accept(recording, fingerprint_of(engine, metas_digest(metas)))
        table = PullTable(recording, places, regions, device)
        right = []
        for weights, wanted in ((b, of_b), (a, of_a), (b, of_b), (a, of_a)):
            fill(weights)
            pulled = table.execute()
            right.append(digests() == wanted)
        table.close()
        names = [metas[i].name.partition(".mlp.experts.")[2] for i in recording.needs().tensor.tolist()]
        needed = {int(name.partition(".")[0]) for name in names if name}
        summary = recording.summary()
        counts = [summary.direct, summary.staged, summary.opaque]
        result["ways"].append(
            {"untouched": untouched, "right": right, "bytes": pulled, "counts": counts, "experts": sorted(needed)}
        )
    print("RESULT " + json.dumps(result))


if __name__ == "__main__":
    main()
