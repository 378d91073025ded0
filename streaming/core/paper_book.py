"""What the paper account holds: orders between decision and match, and open positions."""

from decimal import Decimal

import msgspec

from streaming.core.market import Side


class PaperOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A paper order between its decision and its match."""

    coin: str
    cloid: str
    signal_id: str
    side: Side
    is_reduce_only: bool
    limit_px: Decimal
    sz: Decimal
    edge_bps: Decimal | None
    reason: str
    decided_ts_ns: int


class PaperPosition(msgspec.Struct, kw_only=True):
    """An open paper position; everything about the entry is set once, by its fill."""

    sz: Decimal
    """Signed, never 0."""
    entry_px: Decimal
    entry_ts_ns: int
    entry_edge_bps: Decimal | None
    signal_id: str
    cost_ntl: Decimal
    """What the ledger's position account still holds, unsigned; rounded money."""
    exit_count: int = 0
    """Exit orders tried so far; numbers their cloids."""
    exit_reason: str = ""
    """Why it is being closed; empty while it is held."""
    exit_timer: int = 0
    """Number of the one exit deadline that counts: at most one flatten claim per market (I-09)."""
