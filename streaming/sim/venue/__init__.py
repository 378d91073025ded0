"""The venue's server: info, websocket, what clients see."""
