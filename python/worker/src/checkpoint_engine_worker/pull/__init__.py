"""Pulls recorded bytes from shared memory directly into an engine's parameters, and digests what the engine holds."""
