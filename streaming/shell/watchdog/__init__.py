"""`hip3 watchdog`: a second, small process that closes positions when the sidecar does not live any more."""
