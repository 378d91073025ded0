"""Markets with one planted defect each, as the sidecar would have written them down."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from platform_warehouse import MarketDay

from streaming.contracts.paths import day_begin_ns
from streaming.core.units import NS_PER_MS, NS_PER_S

TICK = Decimal("0.01")


def _always(_second: int) -> bool:
    return True


def _never(_second: int) -> bool:
    return False


@dataclass(frozen=True)
class Feed:
    """A feed of one bbo, one ctx and one sample a second from 01:00 on; each field is a way to break it."""

    seconds: int = 300
    has_bbo: Callable[[int], bool] = _always
    has_ctx: Callable[[int], bool] = _always
    has_sample: Callable[[int], bool] = _always
    is_late: Callable[[int], bool] = _always
    late_ms: int = 0
    is_repeated: Callable[[int], bool] = _never
    does_quote_move: bool = True
    oracle_step: Decimal = Decimal(0)
    asset_id: int | None = None

    def rows(self, coin: str, day: str, first_seq: int) -> MarketDay:
        """Return the market with its rows; it takes ten numbers of the sequence a second."""
        market = MarketDay(coin, signal_count=0, bbo_count=0)
        ids = {} if self.asset_id is None else {"asset_id": self.asset_id}
        begin_ns = day_begin_ns(day) + 3_600 * NS_PER_S
        bbo_count = ctx_count = 0
        for second in range(self.seconds):
            ts, seq, mono = begin_ns + second * NS_PER_S, first_seq + 10 * second, (1 + second) * NS_PER_S
            stamps: dict[str, Any] = {"recv_ts_ns": ts, "recv_mono_ns": mono, "generation": 1, **ids}
            oracle = 100 + self.oracle_step * second
            if self.has_bbo(second):
                shift = TICK * (second % 3) if self.does_quote_move else Decimal(0)
                late_ms = self.late_ms if self.is_late(second) else 0
                book = {"bid_px": 100 - TICK + shift, "bid_sz": Decimal(5), "ask_px": 100 + TICK + shift}
                for again in range(2 if self.is_repeated(second) else 1):
                    market.add(
                        "bbo", seq=seq + again, venue_ts_ms=ts // NS_PER_MS - late_ms, ask_sz=Decimal(5), **book,
                        **stamps,
                    )  # fmt: skip
                    bbo_count += 1
            if self.has_ctx(second):
                market.add("ctx", seq=seq + 2, oracle_px=oracle, mark_px=oracle, mid_px=Decimal(100), **stamps)
                ctx_count += 1
            if self.has_sample(second):
                market.add(
                    "health", seq=seq + 3, ts_ns=ts + 500 * NS_PER_MS, is_ready=True, book_class="valid",
                    bbo_count=bbo_count, ctx_count=ctx_count, rate_use_ratio=0.1, ctx_age_ms=400, **ids,
                )  # fmt: skip
                bbo_count = ctx_count = 0
        return market
