"""A warehouse of derived files by hand for the page of a day: three markets, figures that can be checked by eye."""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import polars.datatypes as pt

from hip3_platform.analytics import counterfactual, execution, markouts, metrics
from hip3_platform.analytics.day_checks import Look, record_looks
from hip3_platform.analytics.evidence import approval, basis, fill_rows, sums, verdict
from hip3_platform.analytics.gold_evidence import STANDINGS_SCHEMA
from hip3_platform.analytics.phases import verdict as phase_verdict
from hip3_platform.analytics.rotating import blacklist, score
from hip3_platform.analytics.store import write_bytes, write_frame
from streaming.contracts.paths import bronze_path, day_begin_ns, gold_path
from streaming.contracts.rotation import (
    RotationDoc,
    RotationExclusion,
    RotationExplanation,
    RotationMarket,
    encode_rotation,
)
from streaming.contracts.tables import TABLES

VENUE, DAY_BEFORE, DAY = "sim", "2026-11-23", "2026-11-24"
GOOD, BAD, ODD = "xyz:GOOD", "xyz:BAD", "xyz:<b>ODD</b>"
COINS = (GOOD, BAD, ODD)
"""One approved, one blacklisted, one with a name that would be markup."""
_BLANK = {pt.String: "", pt.Boolean: False}
Row = Mapping[str, Any]


def frame_of(schema: Mapping[str, Any], *rows: Row) -> pl.DataFrame:
    """Rows with the columns of a schema; texts that are not named are empty, counts 0, lists empty, the rest null."""
    kinds = pl.DataFrame(schema=schema).schema
    blank = {
        name: [] if isinstance(kind, pl.List) else 0 if kind.is_integer() else _BLANK.get(kind.base_type())
        for name, kind in kinds.items()
    }
    for row in rows:
        assert not set(row) - set(kinds), set(row) - set(kinds)
    return pl.DataFrame([{**blank, **row} for row in rows], schema=kinds, orient="row")


def put(root: Path, table: str, frame: pl.DataFrame, day: str = DAY) -> None:
    """Write a derived table of a day."""
    write_frame(gold_path(root, table=table, venue=VENUE, day=day), frame)


def approval_row(coin: str, **more: object) -> dict[str, Any]:
    """A row of gold/approvals: +4 bps a fill out of sample, +6 in sample."""
    same: dict[str, Any] = {
        "venue": VENUE, "day": DAY, "coin": coin, "state": "rejected", "verdict": "noise", "policy": "T8 oracle_led 3s",
        "threshold_bps": 8, "origin": "oracle_led", "horizon_s": 3, "latency_ms": 200, "test_theta_bps": 4.0,
        "test_se_bps": 1.0, "test_ci_lower_bps": 1.75, "test_ci_upper_bps": 6.25, "test_fills": 61,
        "in_sample_theta_bps": 6.0, "in_sample_se_bps": 0.5, "in_sample_fills": 90, "p_adjusted": 0.0123,
        "reason": f"why {coin}",
    }  # fmt: skip
    return same | more


def hours_row(coin: str, **more: object) -> dict[str, Any]:
    """A row of gold/policy_hours: 4 fills of 5 decisions, 10 bps together."""
    same: dict[str, Any] = {
        "venue": VENUE, "day": DAY, "coin": coin, "hour": 14, "threshold_bps": 8, "origin": "oracle_led",
        "latency_ms": 200, "horizon_s": 3, "decisions": 5, "fills": 4, "voids": 0, "net_bps": 10.0, "net_bps2": 40.0,
    }  # fmt: skip
    return same | more


def basis_row(coin: str, **more: object) -> dict[str, Any]:
    """A row of gold/basis: after 5 s the quote closed all of the gap."""
    closed = {1: 0.25, 3: 0.5, 5: 1.0, 10: 1.0}
    shares = {f"quote_share_{h}s": at for h, at in closed.items()} | {f"oracle_share_{h}s": 0.0 for h in closed}
    return {"venue": VENUE, "day": DAY, "coin": coin, "ts_ns": 1, "origin": "oracle_led", **shares, **more}


def fills_row(coin: str, **more: object) -> dict[str, Any]:
    """A row of gold/policy_fills: promised 12 bps, earned 7."""
    same: dict[str, Any] = {
        "venue": VENUE, "day": DAY, "coin": coin, "ts_ns": 1, "side": "buy", "threshold_bps": 8, "is_oracle_led": True,
        "latency_ms": 200, "horizon_s": 3, "edge_bps": 12.0, "net_bps": 7.0, "entry_touch_usd": 1e3,
        "exit_touch_usd": 1e3,
    }  # fmt: skip
    return same | more


def a_document() -> RotationDoc:
    """GOOD may trade, BAD is blacklisted, ODD does not qualify."""
    return RotationDoc(
        version=2026112400, venue=VENUE, account="paper", as_of_day=DAY, created_ts_ns=0, expires_ts_ns=1,
        code_version="0", config_hash="", markets=(
            RotationMarket(coin=GOOD, ntl_max=Decimal(60), rank=1, score_bps=Decimal(3), reason="kept"),
        ),
        excluded=(
            RotationExclusion(coin=BAD, reason="halt on 2026-11-24", is_blacklisted=True,
                              blacklisted_until="2026-11-27"),
            RotationExclusion(coin=ODD, reason="rejected", is_blacklisted=False),
        ),
        explanations=(
            RotationExplanation(coin=GOOD, decision="kept", reason="first in line", score_usd=Decimal("2.5"),
                                against=ODD, against_score_usd=Decimal("-1.5")),
            RotationExplanation(coin=BAD, decision="blacklisted", reason="halted"),
            RotationExplanation(coin=ODD, decision="out", reason="not approved"),
        ),
    )  # fmt: skip


def _evidence(root: Path) -> None:
    states = {GOOD: "approved_micro", BAD: "rejected", ODD: "insufficient"}
    without = {"policy": None, "threshold_bps": None, "horizon_s": None, "test_theta_bps": None, "test_se_bps": None}
    rows = [approval_row(coin, state=states[coin], **(without if coin == ODD else {})) for coin in COINS]
    put(root, "approvals", frame_of(approval.SCHEMA, *rows))
    held = [{"venue": VENUE, "coin": coin, "state": states[coin], "reason": f"standing {coin}"} for coin in COINS]
    put(root, "standings", frame_of(STANDINGS_SCHEMA, *held))
    said = [{"coin": coin, "session": "all", "verdict": "stale_quote", "reason": f"closed {coin}"} for coin in COINS]
    put(root, "verdicts", frame_of(verdict.SCHEMA, *said))
    for day in (DAY_BEFORE, DAY):
        put(root, "policy_hours", frame_of(sums.SCHEMA, *(hours_row(coin, day=day) for coin in COINS)), day)
        put(root, "policy_fills", frame_of(fill_rows.SCHEMA, *(fills_row(coin, day=day) for coin in COINS)), day)
        put(root, "basis", frame_of(basis.SCHEMA, *(basis_row(coin, day=day) for coin in COINS)), day)


def _money(root: Path) -> None:
    price = {"venue": VENUE, "coin": "*", "kind": "gate", "name": "halt", "state": "costs", "price_bps": 2.0,
             "price_bps_low": 1.0, "price_bps_high": 3.0, "only_fill_count": 40,
             "limit_name": "gates.halt_cooldown_ms", "limit_value": "60000"}  # fmt: skip
    put(root, "gate_prices", frame_of(counterfactual.PRICE_SCHEMA, price))
    traded = {"venue": VENUE, "day": DAY, "coin": GOOD, "order_count": 8, "net_usd": Decimal("1.25")}
    put(root, "daily_execution", frame_of(execution.SCHEMA, traded))
    schema = pl.DataFrame(pl.from_arrow(TABLES["round_trips"].schema.empty_table())).schema
    begin_ns = day_begin_ns(DAY)
    trips = [{"coin": GOOD, "ts_ns": begin_ns + hour * 3_600 * 10**9, "pnl": Decimal(pnl)}
             for hour, pnl in ((1, "2.00"), (2, "-0.75"))]  # fmt: skip
    write_frame(bronze_path(root, table="round_trips", venue=VENUE, day=DAY, coin=GOOD), frame_of(schema, *trips))


def _checks(root: Path) -> None:
    looks = {
        ("bronze/bbo", "sequence"): Look(is_passed=True, is_error=False, finding="holds for 3 markets"),
        ("bronze/ctx", "gaps"): Look(is_passed=False, is_error=False, finding=f"{ODD}: holes"),
        ("bronze/ledger", "double_entry"): Look(is_passed=False, is_error=True, finding="1 USD is missing"),
    }
    record_looks(root, VENUE, DAY, looks, digest="d", ts_ns=day_begin_ns(DAY) + 25 * 3_600 * 10**9)


def write_warehouse(root: Path) -> Path:
    """Write every derived file that a page reads and return the root."""
    _checks(root)
    _evidence(root)
    _money(root)
    put(root, "daily_metrics", frame_of(metrics.SCHEMA, *({"coin": coin, "bbo_count": 1_234_567} for coin in COINS)))
    ranks = {GOOD: (1, 2.5, 3.0), BAD: (2, -1.0, 0.0), ODD: (None, None, None)}
    ranked = [
        {"coin": coin, "rank": rank, "score_usd": low, "mean_usd": mean, "reason": f"ranked {coin}"}
        for coin, (rank, low, mean) in ranks.items()
    ]
    put(root, "market_ranking", frame_of(score.SCHEMA, *ranked))
    signal = {"coin": GOOD, "raw_edge_bps": 12.0, "net_bps": 4.0, "state": "executable"}
    put(root, "markouts", frame_of(markouts.SCHEMA, signal))
    put(
        root,
        "incidents",
        frame_of(blacklist.INCIDENTS, {"day": DAY, "coin": BAD, "kind": "halt", "detail": "halted 2 times"}),
    )
    row = {"account": "paper", "phase": "paper", "row": "null_rate", "kind": "requirement", "state": "NOT YET"}
    put(root, "phase_verdict", frame_of(phase_verdict.SCHEMA, row))
    path = gold_path(root, table="rotation", venue=VENUE, day=DAY, suffix="json")
    write_bytes(path, encode_rotation(a_document()))
    return root
