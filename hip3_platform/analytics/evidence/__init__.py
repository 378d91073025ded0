"""How an edge is proved: episodes, executable markouts, policies chosen out of sample, intervals, approval."""
