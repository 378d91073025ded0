"""Subcommands of `hip3` for the simulated venue. Light to import: heavy imports happen inside run."""
