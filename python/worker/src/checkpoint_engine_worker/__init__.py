"""Receives weight updates from checkpoint-engine inside a Python inference engine.

Importing this package imports neither torch nor an engine. Code that needs them reports an error when it is used.
"""

from checkpoint_engine_worker.version import PROTOCOL_VERSION, __version__

__all__ = ["PROTOCOL_VERSION", "__version__"]
