"""Known-truth markets: characters, paths, and the one generator of columns."""
