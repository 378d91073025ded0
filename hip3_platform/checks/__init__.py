"""Asset checks: contract, completeness, signals, parity."""
