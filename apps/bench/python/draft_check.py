"""Updates a vLLM server with a predictor (MTP) from the target's checkpoint, and compares it with the weights at its start.

usage: draft_check.py URL A B PLAIN COMMAND...     COMMAND: checkpoint-engine, with its leading arguments

URL was started from the files of A with tools/engines/draft_extension.py. PLAIN has the tensors of A without those of the
predictor. Prints one line per check. The exit status is 1 if a check failed.
"""

from __future__ import annotations

import sys

from sleep_check import Server, check, failed, rpc, tokens


def main(url: str, a: str, b: str, plain: str, *command: str) -> None:
    server = Server(url, list(command), {})

    def held() -> tuple[dict, list]:
        return rpc(url, "parameter_digests")[0], tokens(url)

    fresh = held()
    own = [name for name, digest in fresh[0]["draft"].items() if fresh[0]["target"].get(name) != digest]
    check("the predictor has its own parameters", bool(own))
    server.loads(b, "first update")
    other = held()
    check("all parameters of the predictor differ", all(fresh[0]["draft"][name] != other[0]["draft"][name] for name in own))
    check("tokens differ", fresh[1] != other[1])
    for turn, (folder, wanted) in enumerate(((a, fresh), (b, other), (a, fresh), (b, other))):
        server.loads(folder, f"update {turn + 2}")
        digests, answers = held()
        check(f"update {turn + 2}: parameters", digests == wanted[0])
        check(f"update {turn + 2}: tokens", answers == wanted[1], (answers, wanted[1]))
    server.loads(plain, "without the predictor")
    digests, _ = held()
    check("without the predictor: the target", digests["target"] == fresh[0]["target"])
    check("without the predictor: it stays", all(digests["draft"][name] == other[0]["draft"][name] for name in own))
    print(f"{len(failed)} wrong", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
