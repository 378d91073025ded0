"""Real trades by hand: the rows that a session leaves behind when it buys, pays its fees, and sells again."""

from dataclasses import dataclass, field
from decimal import Decimal

from platform_warehouse import MarketDay

from streaming.core.units import NS_PER_MS, NS_PER_S

OPENING_USD = Decimal(10_000)
TOKEN = "USDC"  # noqa: S105 - a currency


@dataclass
class TradingDay:
    """Round trips of one market and the reads of the account between them; what the venue says grows along."""

    market: MarketDay
    begin_ns: int
    cash_usd: Decimal = OPENING_USD
    seq: int = 1_000_000
    account_rows: MarketDay = field(default_factory=lambda: MarketDay("", signal_count=0, bbo_count=0))
    """Rows of no market: reads and actions."""
    venue_fills: list[dict[str, object]] = field(default_factory=list)

    def read(self, *, difference: str = "0", is_first: bool = False, mismatches: str = "") -> None:
        """Read the account."""
        self.seq += 1
        self.account_rows.add(
            "reconciliations", seq=self.seq, ordinal=0, ts_ns=self.begin_ns, dex="xyz", is_judged=True,
            asset_id=-1, expected_cash=None if is_first else self.cash_usd, venue_cash=self.cash_usd,
            difference=Decimal(difference), position_mismatches=mismatches,
        )  # fmt: skip

    def round_trip(self, entry_px: str, exit_px: str, sz: str = "0.5", fee: str = "0.01") -> None:
        """Buy and sell: two orders, two fills, four postings."""
        bought, sold, size, paid = Decimal(entry_px), Decimal(exit_px), Decimal(sz), Decimal(fee)
        for px, side, is_exit in ((bought, "buy", False), (sold, "sell", True)):
            self._order(px, side, size, paid, is_exit=is_exit)
        cost, worth = bought * size, sold * size
        self._post(f"{self.seq}-open", "fill", cash=-cost, position=cost)
        self._post(f"{self.seq}-close", "fill", cash=worth, position=-cost, realised_pnl=cost - worth)
        for leg in ("open", "close"):
            self._post(f"{self.seq}-{leg}-fee", "fee", cash=-paid, fees=paid)
        self.cash_usd += worth - cost - 2 * paid
        self.market.add(
            "round_trips", seq=self.seq, ordinal=9, ts_ns=self.begin_ns, pnl=worth - cost - 2 * paid,
            held_ms=1_500, flat_time_ms=205,
        )  # fmt: skip

    def _order(self, px: Decimal, side: str, sz: Decimal, fee: Decimal, *, is_exit: bool) -> None:
        self.seq += 1
        ts_ns = self.begin_ns + self.seq % 1_000 * NS_PER_S
        action_id = self.seq
        same = {
            "cloid": f"0x{self.seq:032x}", "ts_ns": ts_ns, "decided_ts_ns": ts_ns, "mode": "live", "side": side,
            "is_reduce_only": is_exit, "sz": sz,
        }  # fmt: skip
        for ordinal, (status, applied) in enumerate((("intent", 0), ("sent", 0), ("filled", sz))):
            self.market.add(
                "orders", seq=self.seq, ordinal=ordinal, status=status, applied_sz=Decimal(applied), limit_px=px,
                expected_px=px, filled_sz=Decimal(applied), action_id=action_id, sent_us=400, answered_us=200_400,
                **same,
            )  # fmt: skip
        self.account_rows.add(
            "actions", seq=self.seq, ordinal=3, ts_ns=ts_ns, decided_ts_ns=ts_ns, action_id=action_id, kind="order",
            outcome="answered", received_to_decided_us=100, decided_to_sent_us=400, sent_to_ended_us=200_000,
            asset_id=-1,
        )  # fmt: skip
        self.market.add(
            "fills", seq=self.seq, tid=self.seq, oid=self.seq + 7, venue_ts_ms=ts_ns // NS_PER_MS, px=px, fee=fee,
            builder_fee=Decimal(0), fee_token=TOKEN, slippage_bps=Decimal("0.5"), flight_ms=204, source="stream",
            **same,
        )  # fmt: skip
        self.venue_fills.append({
            "tid": self.seq, "oid": self.seq + 7, "cloid": same["cloid"], "coin": self.market.coin,
            "side": "B" if side == "buy" else "A", "px": str(px), "sz": str(sz), "fee": str(fee), "feeToken": TOKEN,
            "time": ts_ns // NS_PER_MS,
        })  # fmt: skip

    def _post(self, posting_id: str, reason: str, **legs: Decimal) -> None:
        for account, amount in legs.items():
            self.market.add(
                "ledger", seq=self.seq, posting_id=posting_id, ts_ns=self.begin_ns, mode="live", account=account,
                amount=amount, currency=TOKEN, reason=reason,
            )  # fmt: skip


def a_trading_day(begin_ns: int, coin: str = "xyz:GOOD") -> TradingDay:
    """Return a market with one winning and one losing round trip, and reads before, between and after them."""
    day = TradingDay(MarketDay(coin), begin_ns)
    day.read(is_first=True)
    day.read()
    day.round_trip("100.5", "101.25")
    day.read()
    day.round_trip("101", "100.75")
    day.read()
    return day
