"""Drives servers by the routes and request models of the Python tool's own API module, one client for each rank.

usage: python-tool-ranks.py FOLDER ENGINE_SOCKET_0 ENGINE_SOCKET_1

FOLDER has rank-0.sock and rank-1.sock of a server that holds a checkpoint, join-0.sock and join-1.sock of one that
joins it, and step-1/*.safetensors. Reads commands of one JSON object a line from standard input, and answers each with
one line: the status and body of every rank's answer.
"""

import asyncio
import json
import sys
from unittest import mock

import httpx
from checkpoint_engine.api import _init_api
from checkpoint_engine.data_types import MemoryBufferMetaList
from loguru import logger
from pydantic import TypeAdapter

logger.remove()
METAS = TypeAdapter(dict[int, MemoryBufferMetaList])
PARAMETER_SERVER = mock.Mock()
TOOL = _init_api(PARAMETER_SERVER)
ROUTES = {(method, route.path): route for route in TOOL.routes for method in getattr(route, "methods", ())}


def clients(pattern: str) -> list[httpx.AsyncClient]:
    return [
        httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=pattern.format(rank=rank)), base_url="http://localhost", timeout=120
        )
        for rank in range(2)
    ]


def body_of(method: str, template: str, fields: dict | None):
    """The body as the tool's own model writes it: with all its defaults."""
    route = ROUTES[method, template]
    if route.body_field is None:
        return None
    return json.loads(route.body_field.field_info.annotation(**(fields or {})).model_dump_json())


async def send(world, method, template, name, bodies, raw=False):
    """Sends to several ranks at the same time; `bodies` are by rank, as text."""
    path = template.replace("{checkpoint_name}", name)

    async def one(rank: str, fields):
        body = fields if raw else body_of(method, template, fields)
        return await world[int(rank)].request(method, path, json=body)

    replies = await asyncio.gather(*(one(rank, fields) for rank, fields in bodies.items()))
    return [{"status": reply.status_code, "body": reply.text} for reply in replies]


async def tool(method, path, error, body):
    """What the tool's own server answers where its parameter server raises this."""
    for function in ("register_checkpoint", "unregister_checkpoint", "gather_metas", "get_metas", "load_metas", "update"):
        getattr(PARAMETER_SERVER, function).side_effect = RuntimeError(error) if error else None
    PARAMETER_SERVER.get_metas.return_value = {}
    transport = httpx.ASGITransport(app=TOOL, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://tool") as client:
        reply = await client.request(method, path, json=body)
        return {"status": reply.status_code, "body": reply.text}


async def copy_metas(source, target):
    """Reads metas with the tool's models, and sends what these write."""
    replies = [await client.get("/v1/metas") for client in source]
    parsed = [METAS.validate_json(reply.text) for reply in replies]
    text = METAS.dump_json(parsed[0])
    taken = [await client.post("/v1/metas", content=text, headers={"content-type": "application/json"}) for client in target]
    return {
        "ranks": {rank: [meta.name for buffer in metas.memory_buffer_metas_list for meta in buffer.metas] for rank, metas in parsed[0].items()},
        "dtypes": sorted({str(meta.dtype) for metas in parsed[0].values() for buffer in metas.memory_buffer_metas_list for meta in buffer.metas}),
        "same": all(reply.text == replies[0].text for reply in replies),
        "taken": [{"status": reply.status_code, "body": reply.text} for reply in taken],
    }


async def main() -> None:
    folder = sys.argv[1]
    worlds = {name: clients(f"{folder}/{name}-{{rank}}.sock") for name in ("rank", "join")}
    for line in sys.stdin:
        command = json.loads(line)
        kind = command.pop("kind")
        if kind == "send":
            command["world"] = worlds[command["world"]]
            result = await send(**command)
        elif kind == "tool":
            result = await tool(**command)
        else:
            result = await copy_metas(worlds[command["source"]], worlds[command["target"]])
        print(json.dumps(result), flush=True)


asyncio.run(main())
