"""What stands in the market now: the tape's position, books, quotes, trades, candles, listing, wire texts."""
