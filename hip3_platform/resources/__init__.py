"""Typed resources: the warehouse and the running sidecar."""
