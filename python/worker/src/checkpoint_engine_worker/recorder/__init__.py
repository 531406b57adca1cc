"""Runs an engine's loader on tensors without bytes and records what it writes."""
