"""Subcommands of `hip3` that need the platform. Light to import: heavy imports happen inside run."""
