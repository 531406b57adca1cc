"""Sends the requests of a Python tool's client, built from the tool's own routes and models, to another server.

usage: python-tool-flow.py SOCKET CHECKPOINT_FOLDER ENGINE_SOCKET

Prints one JSON line for each request: method, path, status, body of the answer. Only the address is ours.
"""

import glob
import json
import sys
from unittest import mock

import httpx
from checkpoint_engine.api import _init_api

SOCKET, FOLDER, ENGINE_SOCKET = sys.argv[1:4]
NAME = "step-1"

# The tool's own server, which is never started: its routes and models say what its clients send.
ROUTES = {(method, route.path): route for route in _init_api(mock.Mock()).routes for method in getattr(route, "methods", ())}
CLIENT = httpx.Client(transport=httpx.HTTPTransport(uds=SOCKET), base_url="http://localhost", timeout=60)


def send(method: str, template: str, **fields) -> None:
    route = ROUTES[method, template]
    model = route.body_field.field_info.annotation if route.body_field else None
    body = json.loads(model(**fields).model_dump_json()) if model else None
    path = template.replace("{checkpoint_name}", NAME)
    reply = CLIENT.request(method, path, json=body)
    print(json.dumps({"call": f"{method} {template}", "sent": body, "status": reply.status_code, "body": reply.text}))


send("GET", "/v1/healthz")
send("POST", "/v1/checkpoints/{checkpoint_name}/files", files=sorted(glob.glob(f"{FOLDER}/*.safetensors")))
send("POST", "/v1/checkpoints/{checkpoint_name}/gather-metas")
send("POST", "/v1/checkpoints/{checkpoint_name}/update", update_url="http://localhost/update", uds=ENGINE_SOCKET)
send("POST", "/v1/checkpoints/{checkpoint_name}/update", ranks=[0], inference_group_ranks=[0],
     update_url="http://localhost/update", uds=ENGINE_SOCKET, timeout=30.0)
send("DELETE", "/v1/checkpoints/{checkpoint_name}")
send("DELETE", "/v1/checkpoints/{checkpoint_name}")
