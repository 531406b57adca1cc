"""The version of this package, which follows the npm packages, and of the protocol that it uses."""

from typing import Final

__version__ = "0.0.0"

#: As `WORKER_PROTOCOL_VERSION` in the npm package `@checkpoint-engine/interface`.
PROTOCOL_VERSION: Final = 2

#: As `WORKER_PULL_VERSION` there, of the messages of a pull.
PULL_VERSION: Final = 1
