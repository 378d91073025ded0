"""Recorded sessions as a venue: the journal read into columns, and a source of hours made of them."""
