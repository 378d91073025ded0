"""Names of the derived tables of the evidence; a module of its own, so that naming one imports no statistics."""

POLICY_HOURS, POLICY_FILLS, EVIDENCE_EPISODES = "policy_hours", "policy_fills", "evidence_episodes"
BASIS, BASIS_GAPS = "basis", "basis_gaps"
DAY_TABLES = (POLICY_HOURS, POLICY_FILLS, EVIDENCE_EPISODES, BASIS, BASIS_GAPS)
"""What one pass over a day's book and oracle writes."""
VERDICTS, APPROVALS, STANDINGS = "verdicts", "approvals", "standings"
WINDOW_DAYS = 14
"""Calendar days of a window; the last 10 of them test."""

GATE_OUTCOMES, GATE_PRICES = "gate_outcomes", "gate_prices"
GATE_SOURCES = ("signals", "gates", "events", "bbo", "ctx", "specs")
"""What is read to price gates and filters."""
