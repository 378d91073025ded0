"""Orders: books, matching, placing, and what is checked before."""
