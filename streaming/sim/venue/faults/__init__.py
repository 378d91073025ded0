"""Faults at work: the board, the hooks that strike, the admin endpoint."""
