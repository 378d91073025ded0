"""Real entries beside the model's: which are probes, and what each side says of them."""

from decimal import Decimal
from pathlib import Path

import pytest
from platform_warehouse import DAY_1, VENUE, MarketDay, write_day

from hip3_platform.analytics.bronze import compact
from hip3_platform.analytics.evidence.probe_pairs import probes_of
from hip3_platform.analytics.evidence.probes import ProbeVerdict
from hip3_platform.analytics.landing import read_landing
from streaming.contracts.paths import day_begin_ns
from streaming.core.units import NS_PER_S

COIN = "xyz:GOOD"
LATENCY_MS = 200
# The book stands at 99.98 / 100.02: buying at the touch and leaving at the bid costs 4 bps and two fees of .9.
MODELLED_BPS = (99.98 - 100.02) / 100.02 * 1e4 - 1.8


def _market(entries: list[tuple[str, float | None, str]], mode: str = "live", limit: str = "100.02") -> MarketDay:
    """A market with entries (status, result in bps or None, origin), one in 12 s, on the standing book."""
    market = MarketDay(COIN, signal_count=0, null_every=0)
    for i, (status, real_bps, origin) in enumerate(entries):
        ts = day_begin_ns(DAY_1) + 3_600 * NS_PER_S + (5 + 10 * i) * NS_PER_S + 400_000_000
        key = {"seq": 50_000 + i, "signal_id": f"s{i}"}
        market.add(
            "signals", **key, episode_id=f"e{i}", ts_ns=ts, side="buy", origin=origin, limit_px=Decimal(limit),
            raw_edge_bps=Decimal(9), blocked_by="",
        )  # fmt: skip
        applied = Decimal("0.5") if real_bps is not None else Decimal(0)
        market.add(
            "orders", **key, ts_ns=ts, decided_ts_ns=ts, cloid=f"c{i}", mode=mode, status=status, applied_sz=applied,
            sz=Decimal("0.5"), is_reduce_only=False,
        )  # fmt: skip
        if real_bps is not None:
            pnl = (Decimal("0.5") * Decimal("100.02") * Decimal(str(real_bps)) / 10_000).quantize(Decimal("1e-8"))
            market.add("round_trips", **key, ts_ns=ts, sz=Decimal("0.5"), entry_px=Decimal("100.02"), pnl=pnl)
    return market


def _judged(root: Path, market: MarketDay) -> ProbeVerdict:
    write_day(root, DAY_1, [market])
    landing = read_landing(root, VENUE)
    for table in ("bbo", "ctx", "specs", "signals", "orders", "round_trips"):
        compact(root, table, VENUE, DAY_1, landing.of(DAY_1, table))
    return probes_of(root, VENUE, (DAY_1,), COIN, LATENCY_MS)


def test_entries_that_fill_like_the_model_pass(tmp_path: Path) -> None:
    found = _judged(tmp_path, _market([("filled", MODELLED_BPS + (i % 3 - 1), "oracle_led") for i in range(21)]))
    assert (found.state, found.modelled_fills, found.realised_fills) == ("passed", 21, 21)
    assert found.difference_bps == pytest.approx(0.0, abs=0.01)


def test_quotes_that_are_pulled_fail(tmp_path: Path) -> None:
    filled, missed = ("filled", MODELLED_BPS, "oracle_led"), ("unfilled", None, "oracle_led")
    found = _judged(tmp_path, _market([filled] * 10 + [missed] * 11))
    assert (found.state, found.modelled_fills, found.realised_fills) == ("failed", 21, 10)


@pytest.mark.parametrize("status", ["aborted", "not_sent", "expired", "in_doubt"])
def test_an_entry_that_never_arrived_or_is_open_is_no_probe(tmp_path: Path, status: str) -> None:
    assert _judged(tmp_path, _market([(status, None, "oracle_led")] * 25)).sent == 0


def test_paper_and_quote_led_entries_are_no_probes(tmp_path: Path) -> None:
    assert _judged(tmp_path / "paper", _market([("filled", 1.0, "oracle_led")] * 5, mode="paper")).sent == 0
    assert _judged(tmp_path / "led", _market([("filled", 1.0, "quote_led")] * 5)).sent == 0


def test_what_the_model_misses_is_no_modelled_fill(tmp_path: Path) -> None:
    # A limit below the touch: really filled, by luck that the model does not have.
    found = _judged(tmp_path, _market([("filled", 5.0, "oracle_led")] * 5, limit="99.90"))
    assert (found.sent, found.modelled_fills, found.realised_fills) == (5, 0, 5)
