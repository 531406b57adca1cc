"""The HTTP layer of an installed inference engine, as it is: its routes, request models and authentication.

Everything behind the routes (models, schedulers, GPUs) is replaced: the program prints each call as a JSON line and answers
like the engine. Only the engine's modules in REAL are loaded; all others are empty stand-ins.

usage: engines-http.py vllm|sglang|lmdeploy PORT API_KEY

Install the engines with `pip install --no-deps`, and in addition fastapi, uvicorn, prometheus-client (vllm), shortuuid
(lmdeploy), and aiohttp, msgspec, numpy, orjson, python-multipart, pyzmq, requests, torch, uvloop (sglang). These versions
work: vllm 0.33.0, sglang 0.5.23, lmdeploy 0.18.0.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import logging
import os
import sys
import types
from typing import Any, Literal

import uvicorn
from fastapi import APIRouter, FastAPI
from pydantic import BaseModel

ENGINE, PORT, API_KEY = sys.argv[1], int(sys.argv[2]), sys.argv[3]

# The modules under test.
REAL = {
    "vllm": [
        "vllm.entrypoints.serve.dev.rpc.api_router",
        "vllm.entrypoints.serve.dev.cache.api_router",
        "vllm.entrypoints.rl.online.api_router",
        "vllm.entrypoints.serve.instrumentator.health",
        "vllm.entrypoints.serve.middleware.authenticate",
    ],
    "sglang": [
        "sglang.srt.entrypoints.http_server",
        "sglang.srt.managers.io_struct",
        "sglang.srt.utils.msgspec_utils",
        "sglang.srt.utils.json_response",
        "sglang.srt.utils.auth",
    ],
    "lmdeploy": [
        "lmdeploy.serve.openai.endpoints.management",
        "lmdeploy.serve.openai.protocol",
        "lmdeploy.serve.openai.errors",
        "lmdeploy.serve.core.exceptions",
        "lmdeploy.serve.utils.server_utils",
    ],
}[ENGINE]



class Off:
    """Settings that are all off."""

    def __getattr__(self, name: str) -> Any:
        return Off()

    def get(self) -> bool:
        return False


def nothing(*_: Any, **__: Any) -> None:
    pass


# The parts of other modules that the modules under test need, by name.
GIVEN: dict[str, Any] = {
    "init_logger": logging.getLogger,
    "PauseMode": Literal["abort", "wait", "keep"],
    "EngineDeadError": type("EngineDeadError", (Exception,), {}),
    "envs": Off(),
    "router": APIRouter(),
    "add_http_request_metrics_middleware": nothing,
    "enable_func_timer": nothing,
    "get_bool_env_var": nothing,
    "fastapi_telemetry_disabled_kwargs": dict,
    "validate_optional_list_i64_1d_2d": lambda value: value,
    "redact_watermark_secrets": lambda value: value,
    "build_server_info": lambda args, state: {"tp_size": 2, "pp_size": 1, "dp_size": 1},
    "__version__": "given",
}


class StandIn(types.ModuleType):
    """A module in which every name is a new, empty class."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in GIVEN:
            raise AttributeError(name)
        value = GIVEN.get(name) or type(name, (BaseModel,), {"__module__": self.__name__})
        setattr(self, name, value)
        return value


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def __init__(self) -> None:
        package = importlib.util.find_spec(ENGINE)
        assert package and package.submodule_search_locations
        self.root = os.path.dirname(list(package.submodule_search_locations)[0])

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] != ENGINE:
            return None
        if name in REAL:
            file = os.path.join(self.root, *name.split(".")) + ".py"
            return importlib.util.spec_from_file_location(name, file)
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        return StandIn(spec.name)

    def exec_module(self, module) -> None:
        module.__path__ = []


def say(call: str, **fields: Any) -> None:
    print(json.dumps({"call": call, **fields}), flush=True)


class Faults:
    """A request fails if the names of its handles ask for it."""

    @staticmethod
    def check(handles: dict[str, str]) -> None:
        if "GPU-broken" in handles:
            raise RuntimeError("planted: no such tensor")


def vllm_app() -> Any:
    *routers, authenticate = (importlib.import_module(name) for name in REAL)

    class Engine:
        vllm_config = types.SimpleNamespace(
            parallel_config=types.SimpleNamespace(world_size=2, world_size_across_dp=4)
        )

        async def check_health(self) -> None:
            say("check_health")

        async def collective_rpc(self, method, timeout, args, kwargs):
            say("collective_rpc", method=method, timeout=timeout, args=args, kwargs=kwargs)
            Faults.check(args[0])
            return [None, None]

        async def reset_prefix_cache(self, reset_running_requests, reset_external):
            say("reset_prefix_cache")
            return True

        async def update_weight_version(self, new_version):
            say("update_weight_version", version=new_version)

    app = FastAPI()
    for module in routers:
        app.include_router(module.router)
    app.add_middleware(authenticate.AuthenticationMiddleware, tokens=[API_KEY])
    app.state.engine_client = Engine()
    return app


def lmdeploy_app() -> Any:
    management, *_, server_utils = (importlib.import_module(name) for name in REAL)

    class Workers:
        async def get_checkpoint_engine_status(self):
            ready = {"ready": True, "message": "", "checkpoint_engine_version": "0.4.2"}
            return [{**ready, "device_uuid": f"GPU-{name}", "rank": rank} for rank, name in enumerate(self.names)]

        async def update_weights_from_ipc(self, request, reject_reason):
            say("update_weights_from_ipc", handles=request.zmq_handles, rejected=reject_reason)
            if reject_reason is not None:
                return False, reject_reason
            try:
                Faults.check(request.zmq_handles)
                return True, "ok"
            except RuntimeError as error:
                return False, str(error)

        names = ["b", "a"]

    class Engine:
        backend = "pytorch"
        backend_config = types.SimpleNamespace(device_type="cuda")
        engine = Workers()
        sleeping_tags: set[str] = set()
        is_sleeping = False

        async def sleep(self, level):
            say("sleep", level=level)
            self.sleeping_tags, self.is_sleeping = {"weights", "kv_cache"}, True

        def wakeup(self, tags):
            say("wakeup", tags=tags)
            self.sleeping_tags = self.sleeping_tags - set(tags)
            self.is_sleeping = bool(self.sleeping_tags)

        def complete_weights_update(self):
            self.sleeping_tags.discard("weights")

    class Monitor:
        def snapshot(self):
            return {"status": "healthy"}

    router = APIRouter()
    context = types.SimpleNamespace(async_engine=Engine(), health_monitor=Monitor())
    management.register(router, context)
    app = FastAPI()
    app.include_router(router)
    app.add_middleware(server_utils.AuthenticationMiddleware, tokens=[API_KEY])
    return app


def sglang_app() -> Any:
    import msgspec

    # The codec between its processes is not under test, and needs the types that are replaced.
    msgspec.msgpack.Decoder = msgspec.msgpack.Encoder = nothing
    http_server = importlib.import_module(REAL[0])
    auth = importlib.import_module("sglang.srt.utils.auth")

    class Manager:
        server_args = None
        startup_time = 0.0
        initial_weights_loaded = True

        def is_healthy(self):
            return True

        async def get_internal_state(self):
            return []

        async def update_weights_from_ipc(self, request, _):
            given = ("zmq_handles", "flush_cache", "weight_version", "torch_empty_cache")
            say("update_weights_from_ipc", **{name: getattr(request, name) for name in given})
            try:
                Faults.check(request.zmq_handles)
                return True, "ok"
            except RuntimeError as error:
                return False, str(error)

    state = types.SimpleNamespace(tokenizer_manager=Manager(), scheduler_info={})
    http_server.set_global_state(state)
    auth.add_api_key_middleware(http_server.app, api_key=API_KEY, admin_api_key=None)
    return http_server.app


sys.meta_path.insert(0, Finder())
app = {"vllm": vllm_app, "sglang": sglang_app, "lmdeploy": lmdeploy_app}[ENGINE]()
uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning", lifespan="off")
