"""`hip3 bench`: what the hot paths cost, each beside a floor and beside other people's ways in the same run."""
