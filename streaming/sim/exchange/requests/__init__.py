"""What clients send: actions, signatures, nonces, budgets, the queue into blocks, refusals."""
