"""The live page, served by the control API."""
