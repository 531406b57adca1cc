"""Compares recordings with an engine's weights, or with trials of its loader."""
