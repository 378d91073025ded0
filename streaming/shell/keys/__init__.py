"""Keys of agents: files only their owner can read, what the venue knows of them, and how they are replaced."""
