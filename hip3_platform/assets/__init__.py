"""Assets: read, call analytics, write, attach metadata."""
