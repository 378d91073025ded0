"""Which configured number stands behind a gate or filter, and what it was over a window.

What a limit cost is half a figure without the limit. Every signal carries the `config_hash` that it was decided under;
table `configs` resolves it.

Rule 1: a hash that no row resolves, or a configuration without the limit, is not known: never the default of this code.
Rule 2: the number is the file's. A market's own k, the phase and the rotation may be stricter, and are not told here.
Rule 3: equal texts resolve equal hashes, so any day's row will do; days are read back from the newest until all are
found, because a session of weeks wrote its row on its first day.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from hip3_platform.analytics.bronze import NO_MARKET
from hip3_platform.analytics.frames import read_market
from streaming.contracts.paths import bronze_path
from streaming.core.effects import GateId

FILTER_LIMITS: dict[str, str] = {
    GateId.ORACLE_FRESH.value: "gates.ctx_age_ms_max",
    GateId.MARK_MID_DIVERGENCE.value: "gates.mark_mid_divergence_bps_max",
    GateId.SPREAD_SHOCK.value: "gates.spread_shock_ratio_max",
    GateId.PARAM_CHANGE.value: "gates.param_change_cooldown_ms",
    GateId.HALT.value: "gates.halt_cooldown_ms",
    GateId.NO_BBO_UPDATE.value: "gates.bbo_confirmation_age_ms_max",
    "rate_limit": "rate_use_entries_ratio_max",
    "venue_clock": "venue_offset_ms_max",
    "venue_lag": "venue_lag_ms_max",
    "day_loss": "losses.day_loss_usd_max",
    "drawdown": "losses.drawdown_usd_max",
    "market_day_loss": "losses.market_day_loss_usd_max",
    "loss_streak": "losses.loss_streak_count_max",
    "reentry_cooldown": "losses.reentry_cooldown_ms",
    "oracle_jump": "losses.oracle_jump_bps_max",
    "correlation_group": "losses.correlation_count_max",
    "budget_circuit_open": "actions.failure_count_max",
    "budget_action_rate": "actions.action_rate_per_s",
    "budget_in_flight": "actions.in_flight_count_max",
    "budget_address_reserve": "actions.address_reserve_count",
    "position_count_max": "sizing.position_count_max",
    "account_ntl_max": "sizing.account_ntl_max",
    "below_order_ntl_min": "sizing.order_ntl_min",
}
"""Gate, control or refusal → the limit that decides it, as `hip3 replay --set` takes it.

The others have no number of the file: a cap of the venue, a lot, a position that is open, a state that is unknown.
"""

UNKNOWN, DISABLED = "not known", "disabled"
Limits = Mapping[str, Any]
"""`limits` of a configuration, as its JSON has them."""


@dataclass(frozen=True, slots=True)
class FilterLimit:
    """The number behind a filter over a window."""

    name: str | None
    """Limit; None where the file has no number for the filter."""
    value: str | None
    """At the last signal of the window, as the file says it, `disabled` for a gate that was; None is not known."""
    values: str | None
    """Every value with the day of its first signal, where there was more than one; empty where there was not."""


NO_LIMIT = FilterLimit(None, None, None)


def read_limits(root: Path, venue: str, day: str, hashes: Iterable[str]) -> dict[str, Limits]:
    """Return config_hash → limits of those of `hashes` that a row of table `configs` up to `day` resolves."""
    wanted, found = set(hashes), dict[str, Limits]()
    folder = bronze_path(root, table="configs", venue=venue, day=day, coin=NO_MARKET).parent.parent
    days = sorted(path.parent.name.removeprefix("day=") for path in folder.glob(f"day=*/{NO_MARKET}.parquet"))
    for each in reversed([name for name in days if name <= day]):
        if not wanted - set(found):
            break
        rows = read_market(root, "configs", venue, each, NO_MARKET, ("config_hash", "config_json"))
        found |= {
            config_hash: msgspec.json.decode(text).get("limits", {})
            for config_hash, text in rows.iter_rows()
            if config_hash in wanted
        }
    return found


def in_force(decided: pl.DataFrame, filters: Iterable[str], limits: Mapping[str, Limits]) -> dict[str, FilterLimit]:
    """Return filter → the number behind it.

    Args:
        decided: Columns day, ts_ns and config_hash of every signal of the window; null is a hash that nobody wrote.
        filters: Names of gates, controls and refusals.
        limits: config_hash → limits, see `read_limits`.
    """
    ordered = decided.select("ts_ns", "day", "config_hash").sort("ts_ns", maintain_order=True)
    began = ordered.filter(
        pl.col("config_hash").ne_missing(pl.col("config_hash").shift()) | (pl.int_range(pl.len()) == 0)
    )
    runs = [(day, limits.get(config_hash, {})) for _, day, config_hash in began.iter_rows()]
    return {each: _over(runs, each) for each in filters}


def _over(runs: list[tuple[str, Limits]], name: str) -> FilterLimit:
    if name not in FILTER_LIMITS:
        return NO_LIMIT
    changes: list[tuple[str, str]] = []
    for day, limits in runs:
        value = _value(limits, name)
        if not changes or changes[-1][1] != value:
            changes.append((day, value))
    last = changes[-1][1] if changes else UNKNOWN
    told = ", ".join(f"{value} from {day}" for day, value in changes) if len(changes) > 1 else ""
    return FilterLimit(FILTER_LIMITS[name], None if last == UNKNOWN else last, told)


def _value(limits: Limits, name: str) -> str:
    if name in limits.get("gates", {}).get("disabled_gates", {}):
        return DISABLED
    *groups, limit = FILTER_LIMITS[name].split(".")
    for group in groups:
        limits = limits.get(group, {})
    return str(limits.get(limit, UNKNOWN))
