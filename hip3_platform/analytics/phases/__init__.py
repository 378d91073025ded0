"""Whether a phase may be left: every row of the phase table as PASS, FAIL or NOT YET, from tables alone."""
