"""The venue's info endpoint: requests within their weights, the registry, and its polls."""
