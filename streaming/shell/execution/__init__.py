"""Real trading's way out: signing and sending actions, asking about the account, the marks that outlive the process."""
