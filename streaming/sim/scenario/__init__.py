"""What a simulated venue is made of: universe, rules, faults, and the files that describe them."""
