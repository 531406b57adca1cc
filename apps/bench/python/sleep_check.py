"""Updates a vLLM server that sleeps and wakes up, and compares it with a server that was started with the weights.

usage: sleep_check.py URL FRESH_URL A B COMMAND...     COMMAND: checkpoint-engine, with its leading arguments

URL was started from the files of A with --enable-sleep-mode, FRESH_URL from those of B; both have vllm_extension.py with
the receiver. Prints one line per check. The exit status is 1 if a check failed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request

PROMPTS = [[1, 2, 3, 4, 5, 6, 7, 8], [42, 1999, 7]]
failed = []


def call(url: str, path: str, body: object | None = None) -> dict:
    request = urllib.request.Request(
        url + path, json.dumps(body or {}).encode(), {"content-type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=120) as reply:
        text = reply.read()
    return json.loads(text) if text else {}


def rpc(url: str, method: str, *args: object) -> list:
    return call(url, "/collective_rpc", {"method": method, "args": list(args), "timeout": 60})["results"]


def tokens(url: str) -> list[list[int]]:
    sampling = {"temperature": 0, "max_tokens": 16}
    answers = [call(url, "/inference/v1/generate", {"model": "m", "token_ids": p, "sampling_params": sampling}) for p in PROMPTS]
    return [answer["choices"][0]["token_ids"] for answer in answers]


def check(name: str, right: bool, more: object = "") -> None:
    print(f"{'right' if right else 'WRONG'}  {name}  {'' if right else str(more)[-700:]}".rstrip(), flush=True)
    if not right:
        failed.append(name)


class Server:
    """The server under test."""

    def __init__(self, url: str, command: list[str], wanted: dict[str, tuple]) -> None:
        self.url = url
        self.command = command
        self.wanted = wanted

    def update(self, folder: str) -> tuple[int, str]:
        started = time.monotonic()
        args = [*self.command, "update", "--checkpoint-path", folder, "--endpoint", self.url, "--verify", "full", "--json"]
        done = subprocess.run(args, capture_output=True, text=True, timeout=120, check=False)
        text = done.stdout + done.stderr
        print(f"       update: exit {done.returncode}, {time.monotonic() - started:.1f} s including its start", flush=True)
        if done.returncode == 0:
            try:
                result = json.loads(done.stdout.strip().splitlines()[-1])
                shown = {k: result.get(k) for k in ("method", "pulledBytes", "modules", "verified") if k in result}
                print(f"       {json.dumps(shown)[:600]}", flush=True)
            except ValueError:
                print(f"       {done.stdout[-600:]}", flush=True)
        return done.returncode, text

    def sleep(self, level: int) -> None:
        call(self.url, f"/sleep?level={level}")

    def wake(self, *tags: str) -> None:
        call(self.url, "/wake_up" + ("?" + "&".join(f"tags={tag}" for tag in tags) if tags else ""))

    def described(self) -> dict:
        return rpc(self.url, "checkpoint_engine_describe")[0]

    def is_fresh(self, name: str, flow: str) -> None:
        digest, answers = self.wanted[name]
        check(f"{flow}: parameters of {name}", rpc(self.url, "bench_digest") == digest)
        found = tokens(self.url)
        check(f"{flow}: tokens of {name}", found == answers, (found, answers))

    def refuses(self, folder: str, flow: str) -> None:
        before = self.described()
        status, text = self.update(folder)
        is_clear = "CE_ENGINE_FAILED" in text and "its weights have no memory" in text
        check(f"{flow}: the update is refused", status != 0 and is_clear, text[-1500:])
        check(f"{flow}: nothing was recorded", self.described() == before, self.described())

    def loads(self, folder: str, flow: str) -> None:
        status, text = self.update(folder)
        check(f"{flow}: the update succeeds", status == 0, text[-3000:])


def main(url: str, fresh_url: str, a: str, b: str, *command: str) -> None:
    rpc(url, "bench_offer", True)
    wanted = {"A": (rpc(url, "bench_digest"), tokens(url)), "B": (rpc(fresh_url, "bench_digest"), tokens(fresh_url))}
    check("A and B produce different tokens", wanted["A"][1] != wanted["B"][1])
    server = Server(url, list(command), wanted)

    server.sleep(1)
    server.refuses(b, "asleep on level 1")
    check("asleep on level 1: the weights are as they were", server.described()["weights"] == "initial")
    server.wake()
    server.is_fresh("A", "woken from level 1")

    # The order of reinforcement learning: first without a proof, then with pulls.
    for turn, (name, folder) in enumerate((("B", b), ("A", a), ("B", b))):
        flow = f"level 2, update {turn + 1}"
        server.sleep(2)
        if turn == 0:
            server.refuses(folder, flow)
        server.wake("weights")
        described = server.described()
        check(f"{flow}: the weights are unknown", (described["weights"], described["weightVersion"]) == ("unknown",) * 2, described)
        check(f"{flow}: the rest sleeps", described.get("asleep") == ["kv_cache"], described)
        server.loads(folder, flow)
        server.wake("kv_cache")
        server.is_fresh(name, flow)

    server.sleep(1)
    server.wake("weights")
    check("level 1: the weights are known", server.described()["weights"] == "loaded")
    server.loads(a, "level 1 between updates")
    server.wake("kv_cache")
    server.is_fresh("A", "level 1 between updates")
    server.sleep(1)
    server.wake()
    server.is_fresh("A", "level 1 after an update")
    server.loads(b, "awake again")
    server.is_fresh("B", "awake again")
    print(f"{len(failed)} wrong", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
