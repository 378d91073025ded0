"""The market-data websocket: one seam, two libraries, and the connection that drives the session over it."""
