"""A minimal inference engine for measurements and GPU tests.

It answers vLLM's `GET /health` and `POST /collective_rpc` and receives weights with the unmodified
`checkpoint_engine.worker.update_weights_from_ipc`. The "model" is a dict of parameters on the GPU, which are created by the
first update and written in place afterwards. It also answers:

    GET /verify?dir=DIR   compares every parameter with the safetensors files, bit for bit; with &keep=1 it keeps a copy of
                          parameters that were all right, if the GPU has room, and compares with that the next time
    GET /lm?dir=DIR       with --causal-lm: compares the logits with those of a fresh model loaded from DIR
    GET /stats            bytes of device memory, open files, updates so far, what the worker did in the last one
    POST /corrupt           inverts every bit of every parameter
    POST /fault           {"kind": "raise", "bucket": 3} | {"kind": "exit", "bucket": 3} | {"kind": "status", "status": 500} | {}

usage: engine.py --port PORT [--device 0] [--causal-lm DIR] [--call-ms 3.5] [--tensor-ms 0.12]

As in a vLLM worker, its heap is frozen, so that garbage collection is quick, and its loader takes time per call and per
tensor, because vLLM rebuilds its tables in every call.

With --causal-lm the model is a Hugging Face causal language model, loaded from DIR; updates write into its parameters.
"""

import argparse
import gc
import glob
import json
import os
import pickle
import sys
import threading
import time
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse

import torch
import zmq
from checkpoint_engine.worker import update_weights_from_ipc


class WorkerClock:
    """Times of the worker's messages and answers, to separate its own time from its waiting."""

    def __init__(self):
        self.reset()

    def reset(self) -> None:
        self.messages: list[tuple[float, float, float]] = []  # requested, received, answered
        self.calls: list[dict[str, float]] = []  # for each message: seconds in functions that are timed
        self.asked_at = 0.0
        self.received_at = 0.0
        self.call_seconds: dict[str, float] = {}

    def received(self) -> None:
        self.received_at = time.perf_counter()
        self.call_seconds = {}

    def answered(self) -> None:
        self.messages.append((self.asked_at, self.received_at, time.perf_counter()))
        self.calls.append(self.call_seconds)

    def time_calls(self, module, name: str) -> None:
        function = getattr(module, name)

        def timed(*args, **kwargs):
            started = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.call_seconds[name] = self.call_seconds.get(name, 0.0) + time.perf_counter() - started

        setattr(module, name, timed)

    def stats(self) -> dict:
        """Returns the times of the worker's messages: the handle, the buckets, the release and the post hook."""
        if len(self.messages) < 3:
            return {}
        handle, *buckets, release, hook = self.messages
        return {
            "buckets": len(buckets),
            "handle_seconds": handle[2] - handle[1],
            "bucket_busy_seconds": sum(answered - received for _, received, answered in buckets),
            "bucket_wait_seconds": sum(received - asked for asked, received, _ in [*buckets, release]),
            "release_seconds": release[2] - release[1],
            "release_call_seconds": self.calls[-2],
            "hook_seconds": hook[2] - hook[1],
        }


CLOCK = WorkerClock()
# The worker's work to release the shared buffer; the rest of that time is closing the buffer itself.
for module, name in (
    (gc, "collect"),
    (torch.cuda, "synchronize"),
    (torch.cuda, "ipc_collect"),
    (torch.cuda, "empty_cache"),
):
    CLOCK.time_calls(module, name)


class TimedSocket(zmq.Socket):
    """The worker's socket, which records times. The worker itself is unmodified."""

    def recv_pyobj(self, flags: int = 0):
        CLOCK.asked_at = time.perf_counter()
        data = self.recv(flags)
        CLOCK.received()
        return pickle.loads(data)

    def send(self, *args, **kwargs):
        result = super().send(*args, **kwargs)
        CLOCK.answered()
        return result


class TimedContext(zmq.Context):
    _socket_class = TimedSocket


class Engine:
    def __init__(self, device: int, causal_lm: str | None = None, call_ms: float = 0, tensor_ms: float = 0):
        self.device = device
        self.call_ms, self.tensor_ms = call_ms, tensor_ms
        torch.cuda.set_device(device)
        torch.zeros(1, device="cuda")
        self.uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid!s}"
        self.context = TimedContext()
        self.parameters: dict[str, torch.Tensor] = {}
        # Copies of parameters that were equal to the files, by folder: only the last.
        self.kept: tuple[str, dict[str, torch.Tensor]] | None = None
        self.updates = 0
        self.fault: dict = {}
        self.bucket = 0
        self.load_seconds = 0.0
        self.model = None
        if causal_lm is not None:
            self.model = load_causal_lm(causal_lm, device)
            self.parameters = dict(self.model.named_parameters())

    @torch.no_grad()
    def load(self, weights: list[tuple[str, torch.Tensor]]) -> None:
        started = time.perf_counter()
        if self.fault.get("bucket") == self.bucket:
            if self.fault["kind"] == "raise":
                raise RuntimeError("planted fault: this worker raises")
            if self.fault["kind"] == "exit":
                os._exit(17)
        self.bucket += 1
        for name, tensor in weights:
            held = self.parameters.get(name)
            if held is None or held.shape != tensor.shape or held.dtype != tensor.dtype:
                self.parameters[name] = tensor.clone()
            else:
                held.copy_(tensor, non_blocking=True)
        until = started + (self.call_ms + len(weights) * self.tensor_ms) / 1000
        while time.perf_counter() < until:
            pass
        self.load_seconds += time.perf_counter() - started

    def update(self, handles: dict[str, str]) -> None:
        self.bucket = 0
        self.load_seconds = 0.0
        CLOCK.reset()
        torch.cuda.set_device(self.device)
        update_weights_from_ipc(
            self.context, handles[self.uuid], device_id=self.device, run=self.load, post_hook=lambda: None
        )
        self.updates += 1

    def verify(self, folder: str, keep: bool = False) -> dict:
        kept = self.kept if keep and self.kept is not None and self.kept[0] == folder else None
        names, size, wrong = self.compare(kept[1].items() if kept else tensors_of(folder, self.device))
        if kept is None:
            free, _ = torch.cuda.mem_get_info(self.device)
            fits = keep and not wrong and free > size + KEEP_FREE_BYTES
            # Tensors of other checkpoints in the engine are not part of this one, and its updates do not change them.
            self.kept = (folder, {name: self.parameters[name].clone() for name in names}) if fits else None
        return {"tensors": len(names), "bytes": size, "wrong": len(wrong), "first_wrong": wrong[:5]}

    def compare(self, wanted) -> tuple[list[str], int, list[str]]:
        names: list[str] = []
        wrong: list[str] = []
        size = 0
        for name, want in wanted:
            have = self.parameters.get(name)
            names.append(name)
            size += want.numel() * want.element_size()
            if have is None or have.shape != want.shape or have.dtype != want.dtype or not same_bits(have, want):
                wrong.append(name)
        return names, size, wrong

    @torch.no_grad()
    def corrupt(self) -> None:
        for tensor in self.parameters.values():
            if tensor.numel() > 0:
                tensor.reshape(-1).view(torch.uint8).bitwise_not_()
        torch.cuda.synchronize(self.device)

    @torch.no_grad()
    def compare_lm(self, folder: str) -> dict:
        fresh = load_causal_lm(folder, self.device)
        prompt = torch.arange(1, 65, device=f"cuda:{self.device}").unsqueeze(0)
        ours, theirs = self.model(prompt).logits, fresh(prompt).logits
        generated = self.model.generate(prompt, max_new_tokens=16, do_sample=False)
        expected = fresh.generate(prompt, max_new_tokens=16, do_sample=False)
        return {
            "equal": bool(torch.equal(ours, theirs)),
            "same_tokens": bool(torch.equal(generated, expected)),
            "largest_difference": float((ours - theirs).abs().max()),
            "tokens": generated[0, -16:].tolist(),
        }

    def stats(self) -> dict:
        free, total = torch.cuda.mem_get_info(self.device)
        return {
            "uuid": self.uuid,
            "device_used_bytes": total - free,
            "torch_allocated_bytes": torch.cuda.memory_allocated(self.device),
            "torch_reserved_bytes": torch.cuda.memory_reserved(self.device),
            "open_files": len(os.listdir("/proc/self/fd")),
            "updates": self.updates,
            "load_seconds": self.load_seconds,
            "worker": CLOCK.stats(),
            "torch": torch.__version__,
        }


# Room for updates in addition to a copy of the parameters.
KEEP_FREE_BYTES = 28 * 2**30


def tensors_of(folder: str, device: int):
    """Every tensor of the files, on the GPU."""
    from safetensors import safe_open

    for path in sorted(glob.glob(os.path.join(folder, "*.safetensors"))):
        with safe_open(path, framework="pt", device=f"cuda:{device}") as file:
            for name in file.keys():
                yield name, file.get_tensor(name)


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    if a.numel() == 0:
        return True
    return torch.equal(a.contiguous().reshape(-1).view(torch.uint8), b.contiguous().reshape(-1).view(torch.uint8))


def load_causal_lm(folder: str, device: int):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).to(f"cuda:{device}").eval()


def handler_of(engine: Engine):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self, status: int, body: object = None) -> None:
            data = b"" if body is None else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            url = urlparse(self.path)
            if url.path == "/health":
                self.answer(200)
            elif url.path == "/stats":
                self.answer(200, engine.stats())
            elif url.path == "/verify":
                query = parse_qs(url.query)
                self.answer(200, engine.verify(query["dir"][0], "keep" in query))
            elif url.path == "/lm":
                self.answer(200, engine.compare_lm(parse_qs(url.query)["dir"][0]))
            else:
                self.answer(404)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("content-length", "0"))) or b"{}")
            if self.path == "/corrupt":
                engine.corrupt()
                self.answer(200)
            elif self.path == "/fault":
                engine.fault = body
                self.answer(200)
            elif self.path == "/collective_rpc":
                if engine.fault.get("kind") == "status":
                    self.answer(engine.fault["status"], {"error": "planted fault: the engine refuses"})
                    return
                assert body["method"] == "update_weights_from_ipc", body
                try:
                    engine.update(body["args"][0])
                    self.answer(200)
                except BaseException as error:  # noqa: BLE001
                    self.answer(500, {"error": "".join(traceback.format_exception(error))})
            else:
                self.answer(404)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def end_with_parent() -> None:
    """Waits until the parent ends, which closes the other end of standard input."""
    if not sys.stdin.isatty():
        sys.stdin.buffer.read()
        os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--device", type=int, default=0)
    parser.add_argument("--causal-lm")
    parser.add_argument("--call-ms", type=float, default=3.5)
    parser.add_argument("--tensor-ms", type=float, default=0.12)
    args = parser.parse_args()
    threading.Thread(target=end_with_parent, daemon=True).start()
    engine = Engine(args.device, args.causal_lm, args.call_ms, args.tensor_ms)
    gc.collect()
    gc.freeze()
    server = ThreadingHTTPServer(("127.0.0.1", args.port), handler_of(engine))
    print(json.dumps({"ready": True, "uuid": engine.uuid}), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
