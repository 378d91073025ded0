"""Recorded inputs through the engine again: parity, what-if, and recorded frames."""
