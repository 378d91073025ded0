"""Benches of the platform, found by `hip3 bench` as entry points."""
