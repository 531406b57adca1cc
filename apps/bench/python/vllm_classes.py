"""A worker with vLLM's own model classes, behind the routes of a vLLM server, on a machine without a GPU.

usage: vllm_classes.py MODEL --port PORT      with PYTHONPATH=python/worker/src

It records, proves, and receives like a vLLM worker. It cannot compute: its weights stay in the loaded layout, as on a
Hopper GPU, because vLLM's kernels for CPUs would pack them. Instead of real tokens, its answers depend on all weights.
"""

import argparse
import json
import os
import tempfile
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

os.environ.update(VLLM_ENABLE_V1_MULTIPROCESSING="0", VLLM_CPU_KVCACHE_SPACE="1", HF_HUB_OFFLINE="1")
os.environ.setdefault("BENCH_EXTENSION", "checkpoint_engine_worker.vllm_extension.WorkerExtension")

import torch
from vllm.config import set_current_vllm_config
from vllm.distributed import init_distributed_environment, initialize_model_parallel
from vllm.engine.arg_utils import EngineArgs
from vllm.model_executor.model_loader.reload import record_metadata_for_reloading
from vllm.model_executor.model_loader.utils import initialize_model
from vllm_extension import BenchExtension

EXTENSION = "vllm_extension.BenchExtension"


class Worker(BenchExtension):
    def __init__(self, model: torch.nn.Module, vllm_config):
        self.device, self.local_rank = torch.device("cpu"), 0
        self.vllm_config = vllm_config
        self.model_runner = Runner(model)

    def get_model(self) -> torch.nn.Module:
        return self.model_runner.model


class Runner:
    def __init__(self, model: torch.nn.Module):
        self.model = model


def worker_of(folder: str) -> Worker:
    # vLLM creates FP8 layers only for CPUs with tiles. None of them is computed here.
    torch.cpu._is_amx_tile_supported = lambda: True
    arguments = EngineArgs(
        model=folder, skip_tokenizer_init=True, enforce_eager=True, max_model_len=256, dtype="bfloat16"
    )
    vllm_config = arguments.create_engine_config()
    with set_current_vllm_config(vllm_config), torch.device("cpu"):
        init_distributed_environment(1, 0, f"file://{tempfile.mkdtemp()}/group", 0, "gloo")
        initialize_model_parallel(1, 1)
        usual = torch.get_default_dtype()
        torch.set_default_dtype(torch.bfloat16)
        model = initialize_model(vllm_config)
        torch.set_default_dtype(usual)
        record_metadata_for_reloading(model)
    for module in model.modules():
        for holder in (getattr(module, "quant_method", None), module):
            if hasattr(holder, "process_weights_after_loading"):
                holder.process_weights_after_loading = lambda *_: None
    for tensor in model.parameters():
        tensor.data.view(torch.uint8).zero_()
    return Worker(model, vllm_config)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    worker: Worker

    def do_GET(self) -> None:
        answers = {
            "/health": {},
            "/get_world_size": {"world_size": 1},
            "/server_info": {"vllm_config": {"parallel_config": {"worker_extension_cls": EXTENSION}}},
        }
        path = self.path.partition("?")[0]
        self._answer(200 if path in answers else 404, answers.get(path, {}))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}")
        try:
            if self.path == "/collective_rpc":
                result = getattr(self.worker, body["method"])(*body.get("args", []), **body.get("kwargs", {}))
                self._answer(200, {"results": [result]})
            elif self.path == "/inference/v1/generate":
                self._answer(200, {"choices": [{"token_ids": [int(self.worker.bench_digest()["digest"], 16)]}]})
            else:
                self._answer(200 if self.path == "/reset_prefix_cache" else 404, {})
        except Exception as error:
            traceback.print_exc()
            self._answer(500, {"error": f"{type(error).__name__}: {error}"})

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, status: int, body: dict) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    Handler.worker = worker_of(options.model)
    ThreadingHTTPServer(("127.0.0.1", options.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
