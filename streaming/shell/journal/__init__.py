"""The journal: its bytes, its writer, its readers, and how much of it is kept."""
