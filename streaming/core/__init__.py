"""The engine: pure and synchronous; no I/O, clock, randomness, logging or asyncio."""
