"""A recording of what an engine's loader writes: its data, its files, and the engine that it belongs to."""
