"""The configuration: its types and bounds, where values come from, and what stands against a start."""
