"""Dagster assets over the files of the sidecar: evidence, ranking, rotation."""
