"""A venue to run against: known markets, a server of their frames, history in virtual time."""
