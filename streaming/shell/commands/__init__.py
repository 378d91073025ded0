"""Subcommands of `hip3` that talk to, or are, the sidecar. Light to import: heavy imports happen inside run."""
