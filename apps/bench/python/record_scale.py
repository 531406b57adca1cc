"""Measures the recording of a checkpoint with as many tensors as Kimi-K2, and its copy table. Needs no GPU.

    PYTHONPATH=python/worker/src python apps/bench/python/record_scale.py [--layers 61] [--experts 384] [--whole]

The loader is written like vLLM's: it finds each name's parameter in a table, and slices for tensor parallelism.
`--whole` records every layer by itself. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
import torch
from checkpoint_engine_worker.engine import Engine
from checkpoint_engine_worker.pull_types import MappedRegion, Places, TensorMeta
from checkpoint_engine_worker.recorder.record import record
from checkpoint_engine_worker.recording.recording import Verdict
from checkpoint_engine_worker.tables.pieces import BoxIndex, cut
from checkpoint_engine_worker.tables.word_tables import word_tables

BLOCK = 4  # elements that share a scale, scaled down with the shapes


class Model(torch.nn.Module):
    """DeepSeek-V3's parameters in an engine with `ranks` tensor-parallel ranks; shapes are scaled down."""

    def __init__(
        self, layers: int, experts: int, ranks: int, rank: int, hidden: int, inner: int, device: str = "cpu"
    ) -> None:
        super().__init__()
        self.ranks, self.rank, self.experts = ranks, rank, experts
        self.layers = torch.nn.ModuleList()
        small = max(8, hidden // 8)

        def parameter(*shape: int, dtype: torch.dtype = torch.float8_e4m3fn) -> torch.nn.Parameter:
            return torch.nn.Parameter(torch.zeros(shape, dtype=dtype, device=device), requires_grad=False)

        def scaled(module: torch.nn.Module, name: str, *shape: int) -> None:
            module.register_parameter(f"{name}_weight", parameter(*shape))
            scale = (*shape[:-2], shape[-2] // BLOCK, shape[-1] // BLOCK)
            module.register_parameter(f"{name}_weight_scale_inv", parameter(*scale, dtype=torch.float32))

        for layer in range(layers):
            module = torch.nn.Module()
            scaled(module, "qkv_a", 2 * small, hidden)
            for name, rows, columns in (
                ("q_b", hidden // ranks, small),
                ("kv_b", hidden // ranks, small),
                ("o", hidden, hidden // ranks),
            ):
                scaled(module, name, rows, columns)
            for name in ("input_norm", "post_norm", "q_a_norm", "kv_a_norm"):
                module.register_parameter(name, parameter(hidden, dtype=torch.bfloat16))
            if layer == 0:
                scaled(module, "gate_up", 2 * inner * 8 // ranks, hidden)
                scaled(module, "down", hidden, inner * 8 // ranks)
            else:
                module.register_parameter("gate", parameter(experts, hidden, dtype=torch.bfloat16))
                module.register_parameter("bias", parameter(experts, dtype=torch.float32))
                scaled(module, "w13", experts, 2 * inner // ranks, hidden)
                scaled(module, "w2", experts, hidden, inner // ranks)
                scaled(module, "shared_gate_up", 2 * inner // ranks, hidden)
                scaled(module, "shared_down", hidden, inner // ranks)
            self.layers.append(module)
        self.embed = parameter(hidden, hidden, dtype=torch.bfloat16)

    def load_weights(self, weights: list[tuple[str, torch.Tensor]]) -> None:
        parameters = dict(self.named_parameters())
        for name, weight in weights:
            if not name.startswith("layers."):
                parameters[name].data.copy_(weight)
                continue
            _, layer, rest = name.split(".", 2)
            prefix = f"layers.{layer}."
            if rest.startswith("experts."):
                _, expert, projection, kind = rest.split(".")
                if projection == "down":
                    self._rows(parameters[f"{prefix}w2_{kind}"].data[int(expert)], weight, 1)
                else:
                    target = parameters[f"{prefix}w13_{kind}"].data[int(expert)]
                    self._half(target, weight, projection == "up")
                continue
            projection, _, kind = rest.rpartition(".")
            if projection in ("q_a", "kv_a"):
                target = parameters[f"{prefix}qkv_a_{kind}"].data
                half = target.shape[0] // 2
                target.narrow(0, half if projection == "kv_a" else 0, half).copy_(weight)
            elif projection in ("gate", "up", "shared_gate", "shared_up") and kind.startswith("weight"):
                fused = "shared_gate_up" if "shared" in projection else "gate_up"
                self._half(parameters[f"{prefix}{fused}_{kind}"].data, weight, "up" in projection)
            elif kind.startswith("weight"):
                dim = 1 if projection in ("o", "down", "shared_down") else 0
                self._rows(parameters[f"{prefix}{projection}_{kind}"].data, weight, dim)
            else:
                parameters[f"{prefix}{kind}"].data.copy_(weight)

    def _rows(self, target: torch.Tensor, weight: torch.Tensor, dim: int) -> None:
        size = target.shape[dim]
        target.copy_(weight.narrow(dim, self.rank * size, size))

    def _half(self, target: torch.Tensor, weight: torch.Tensor, second: bool) -> None:
        size = target.shape[0] // 2
        target.narrow(0, int(second) * size, size).copy_(weight.narrow(0, self.rank * size, size))


def metas(layers: int, experts: int, hidden: int, inner: int) -> list[TensorMeta]:
    """Returns the tensors of a checkpoint for `Model`: about 2,300 per layer with 384 experts."""
    small = max(8, hidden // 8)
    found = [TensorMeta("embed", "BF16", (hidden, hidden))]

    def scaled(name: str, rows: int, columns: int) -> None:
        found.append(TensorMeta(f"{name}.weight", "F8_E4M3", (rows, columns)))
        found.append(TensorMeta(f"{name}.weight_scale_inv", "F32", (rows // BLOCK, columns // BLOCK)))

    for layer in range(layers):
        at = f"layers.{layer}."
        for name in ("input_norm", "post_norm", "q_a_norm", "kv_a_norm"):
            found.append(TensorMeta(f"{at}{name}", "BF16", (hidden,)))
        for name, rows, columns in (("q_a", small, hidden), ("kv_a", small, hidden), ("o", hidden, hidden)):
            scaled(at + name, rows, columns)
        for name in ("q_b", "kv_b"):
            scaled(at + name, hidden, small)
        if layer == 0:
            scaled(f"{at}gate", inner * 8, hidden)
            scaled(f"{at}up", inner * 8, hidden)
            scaled(f"{at}down", hidden, inner * 8)
            continue
        found.append(TensorMeta(f"{at}gate", "BF16", (experts, hidden)))
        found.append(TensorMeta(f"{at}bias", "F32", (experts,)))
        for name, rows, columns in (("gate", inner, hidden), ("up", inner, hidden), ("down", hidden, inner)):
            scaled(f"{at}shared_{name}", rows, columns)
            for expert in range(experts):
                scaled(f"{at}experts.{expert}.{name}", rows, columns)
    return found


def places_of(tensors: list[TensorMeta]) -> tuple[Places, dict[int, MappedRegion]]:
    """Places in a region that this process does not read."""
    sizes = np.array([meta.size_bytes for meta in tensors], dtype=np.int64)
    starts = np.cumsum(-(-sizes // 256) * 256) - (-(-sizes // 256) * 256)
    count = len(tensors)
    places = Places(
        np.arange(count, dtype=np.uint32),
        np.zeros(count, dtype=np.int64),
        sizes,
        np.zeros(count, dtype=np.uint32),
        starts,
    )
    return (places, {0: MappedRegion(1 << 40, int(starts[-1] + sizes[-1]))})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=61)
    parser.add_argument("--experts", type=int, default=384)
    parser.add_argument("--ranks", type=int, default=4)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--inner", type=int, default=32)
    parser.add_argument("--whole", action="store_true")
    options = parser.parse_args()
    model = Model(options.layers, options.experts, options.ranks, 1, options.hidden, options.inner)
    tensors = metas(options.layers, options.experts, options.hidden, options.inner)
    engine = Engine(model.load_weights, [("", model)], "cpu")
    recording = record(engine, tensors, stamped=not options.whole)
    if recording.tensor_reasons:
        raise SystemExit(f"the loader was not followed: {list(recording.tensor_reasons.items())[:3]}")
    started = time.monotonic()
    recording.verdicts = [Verdict("direct")] * (int(recording.groups()[0].max()) + 1)
    needs = recording.needs()
    needs_ms = (time.monotonic() - started) * 1e3
    started = time.monotonic()
    places, regions = places_of(tensors)
    pieces = BoxIndex(recording.direct_boxes(), recording.live_addresses()).pieces(places, regions)
    kinds = word_tables(cut(pieces.table, 128 << 10)[0])
    table_ms = (time.monotonic() - started) * 1e3
    print(
        json.dumps(
            {
                "tensors": len(tensors),
                "boxes": len(recording.boxes),
                "record_ms": round(recording.recorded_ms),
                "needs_ms": round(needs_ms),
                "table_ms": round(table_ms),
                "needed_bytes": needs.size_bytes,
                "checkpoint_bytes": sum(meta.size_bytes for meta in tensors),
                "pieces": {f"{kind.word_bytes}x{kind.tile_words}": len(kind.table) for kind in kinds},
            }
        )
    )


if __name__ == "__main__":
    main()
