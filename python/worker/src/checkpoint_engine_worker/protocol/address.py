"""The address at which a parameter server waits for a worker."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

#: Equal to `WORKER_ADDRESS_SCHEME` in the npm packages.
SCHEME = "ce2:"

_ADDRESS = re.compile(r"ce2:([A-Za-z0-9._-]{1,107})\?key=([0-9a-f]{16,128})")
_ANY_SCHEME = re.compile(r"[a-z0-9]{1,10}:")


@dataclass(frozen=True)
class WorkerAddress:
    """A socket's name and the key that its server requires."""

    #: In the abstract namespace of Unix sockets, without the leading NUL.
    socket_name: str
    key: str = field(repr=False)


def parse_address(text: str) -> WorkerAddress:
    """Parses an address in the form that the engine receives: `ce2:<abstract socket name>?key=<hex secret>`.

    Raises:
        ValueError: The text is not an address. The text is a secret and is not repeated in the error.
    """
    match = _ADDRESS.fullmatch(text) if isinstance(text, str) else None
    if match:
        return WorkerAddress(match[1], match[2])
    scheme = _ANY_SCHEME.match(text) if isinstance(text, str) else None
    raise ValueError(
        f'Expected a worker address "{SCHEME}<name>?key=<hex>", got one with {scheme[0] if scheme else "no scheme"}: '
        "set the parameter server to protocol v2"
    )


def is_own_address(text: object) -> bool:
    """Returns whether the address is for this package, and not for a worker of another protocol."""
    return isinstance(text, str) and text.startswith(SCHEME)
