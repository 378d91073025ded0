"""Metrics and log lines: what the process says about itself."""
