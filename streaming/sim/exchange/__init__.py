"""The simulated venue's exchange: accounts, signed actions, matching, margin, fees. Sans-I/O; time enters as data."""
