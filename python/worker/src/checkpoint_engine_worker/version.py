"""The version of this package, which follows the npm packages, and of the protocol that it uses."""

from typing import Final

__version__ = "0.0.0"

#: Equal to `WORKER_PROTOCOL_VERSION` in the npm package `@checkpoint-engine/interface`.
PROTOCOL_VERSION: Final = 2

#: The version of the messages of a pull. Equal to `WORKER_PULL_VERSION` in that package.
PULL_VERSION: Final = 1
