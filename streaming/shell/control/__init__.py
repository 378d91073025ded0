"""The control API, the live page, and the command line's side of it."""
