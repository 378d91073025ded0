"""Real orders and positions: what happens between an unblocked signal and a flat account."""
