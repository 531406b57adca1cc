"""Run by `test_vllm_pull.py` in an environment with vLLM: updates a running engine by a pull. Prints one JSON object.

python vllm_pull.py MODEL_A [MODEL_B]     with B: record and prove on A, update to B, to A and to B again
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

import numpy as np
import torch
from safetensors import safe_open
from vllm import LLM, SamplingParams
from vllm.model_executor.model_loader.reload import finalize_layerwise_reload, initialize_layerwise_reload

from checkpoint_engine_worker.copying.pull_table import PullTable
from checkpoint_engine_worker.proof.proof import prove
from checkpoint_engine_worker.pull_types import MappedRegion, Places, TensorMeta
from checkpoint_engine_worker.recorder.record import record
from checkpoint_engine_worker.recording.fingerprint import fingerprint_of, metas_digest
from checkpoint_engine_worker.vllm.finish import prepare_refresh
from checkpoint_engine_worker.vllm.recording import vllm_context, vllm_engine

NAMES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}


def weights_of(folder: str) -> dict[str, torch.Tensor]:
    found = {}
    for path in sorted(Path(folder).glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            found.update({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    return dict(sorted(found.items()))


def raw(tensor: torch.Tensor) -> bytes:
    return bytes(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy())


def digests(model: Any) -> dict[str, str]:
    return {name: hashlib.sha256(raw(p.data)).hexdigest() for name, p in model.named_parameters()}


def tokens(llm: LLM) -> list[list[int]]:
    prompts = [{"prompt_token_ids": [3, 17, 99, 5]}, {"prompt_token_ids": list(range(40, 60))}]
    llm.reset_prefix_cache()
    outputs = llm.generate(prompts, SamplingParams(temperature=0, max_tokens=16, ignore_eos=True, detokenize=False))
    return [list(output.outputs[0].token_ids) for output in outputs]


def main() -> None:
    llm = LLM(
        sys.argv[1], skip_tokenizer_init=True, enforce_eager=True, max_model_len=256, dtype="bfloat16", max_num_seqs=4
    )
    worker = llm.llm_engine.model_executor.driver_worker
    worker = getattr(worker, "worker", worker)
    model, config, vllm_config = worker.get_model(), worker.model_config, worker.vllm_config
    result: dict[str, Any] = {"tokens_a": tokens(llm), "digests_a": digests(model)}
    if len(sys.argv) < 3:
        print("RESULT " + json.dumps(result))
        return
    a, b = weights_of(sys.argv[1]), weights_of(sys.argv[2])
    metas = [TensorMeta(name, NAMES[t.dtype], tuple(t.shape)) for name, t in a.items()]
    sizes = np.array([meta.size_bytes for meta in metas], dtype=np.int64)
    starts = np.cumsum(sizes) - sizes
    memory = ctypes.create_string_buffer(int(sizes.sum()))
    regions = {0: MappedRegion(ctypes.addressof(memory), int(sizes.sum()), memory)}
    count = len(metas)
    zero32, zero = np.zeros(count, dtype=np.uint32), np.zeros(count, dtype=np.int64)
    places = Places(np.arange(count, dtype=np.uint32), zero, sizes, zero32, starts)

    def fill(weights: dict[str, torch.Tensor]) -> None:
        for start, tensor in zip(starts.tolist(), weights.values(), strict=True):
            data = raw(tensor)
            ctypes.memmove(regions[0].address + start, data, len(data))

    fill(a)
    models, device = [(model, config)], torch.device("cpu")
    engine = vllm_engine(models, vllm_config, device)
    before = digests(model)
    recording = record(engine, metas)
    prove(recording, places, regions, device).accept(recording, fingerprint_of(engine, metas_digest(metas)))
    summary = recording.summary()
    result.update(
        untouched=digests(model) == before,
        summary=str(summary),
        counts=[summary.direct, summary.staged, summary.opaque],
        reasons=summary.reasons,
        recorded_ms=round(recording.recorded_ms, 1),
        rest=[metas[i].name for i in recording.rest().tolist()],
        needed=[metas[i].name for i in sorted(set(recording.needs().tensor.tolist()))],
    )
    table = PullTable(recording, places, regions, device)
    for weights in (b, a, b):
        fill(weights)
        recording.check(fingerprint_of(engine, metas_digest(metas)))
        rest = [(metas[i].name, weights[metas[i].name].clone()) for i in recording.rest().tolist()]
        with vllm_context(vllm_config, device):
            if rest:
                # vLLM's reload packs experts for the CPU only when it builds their kernel.
                for module in model.modules():
                    if hasattr(getattr(module, "quant_method", None), "moe_kernel"):
                        module.quant_method.moe_kernel = None
                initialize_layerwise_reload(model)
                model.load_weights(iter(rest))
            result["pulled"] = table.execute()
            if rest:
                finalize_layerwise_reload(model, config)
        result["derived"] = prepare_refresh(models, vllm_config, device, worker.model_runner)()
    result.update(tokens_b=tokens(llm), digests_b=digests(model))
    print("RESULT " + json.dumps(result))


if __name__ == "__main__":
    main()
