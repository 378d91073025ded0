"""Hyperliquid's wire ↔ core events, without I/O."""
