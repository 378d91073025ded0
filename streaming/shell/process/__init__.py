"""The life of the sidecar process: start in order, one instance, watch over itself, end within a deadline."""
