"""Executes copy tables and conversions on each kind of device."""
