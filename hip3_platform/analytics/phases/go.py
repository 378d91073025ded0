"""Stage A, Go conditions: no open spec question, preflight refuses when it must, connection health, spot excluded.

Source: architecture document, "Phases"; principle 37.
"""

import polars as pl

from hip3_platform.analytics.phases.observe import outages
from hip3_platform.analytics.phases.rule import FAIL, NOT_YET, PASS, Finding, PhaseRule, days_text
from hip3_platform.analytics.phases.tables import Tables

HIP3_ASSET_ID_MIN = 100_000
"""asset_id = 100000 + dex x 10000 + index for builder dexes; validator perps lie below, spot has `@` or `/` names."""


def go_spec_questions(tables: Tables, rule: PhaseRule) -> Finding:
    """No changed specification waits for an operator.

    A `param_changed` with state `needs_operator` is open until the gate ParamChange of that market passes again. PASS:
    specs were seen in the window and none is open. FAIL: one is open. NOT YET: no row of table specs.
    """
    del rule
    evidence = f"bronze/specs, bronze/events, {days_text(tables.window)}"
    if tables.specs.is_empty():
        return Finding(NOT_YET, "", f"{evidence}: no spec was seen")
    is_question = (pl.col("kind") == "param_changed") & (pl.col("state") == "needs_operator")
    is_gate = (pl.col("kind") == "gate_changed") & (pl.col("subject") == "param_change")
    rows = tables.events.filter(is_question | is_gate).sort("ts_ns", "seq", "ordinal")
    is_open: dict[str, bool] = {}
    for coin, kind, state in rows.select("coin", "kind", "state").iter_rows():
        if kind == "param_changed":
            is_open[coin] = True
        elif state == "pass":
            is_open[coin] = False
    waiting = sorted(coin for coin, is_it in is_open.items() if is_it)
    figure = f"{len(waiting)} open of {len(is_open)} markets with changes"
    if waiting:
        return Finding(FAIL, figure, f"{evidence}: {', '.join(waiting)[:200]}")
    return Finding(PASS, figure, evidence)


def go_preflight(tables: Tables, rule: PhaseRule) -> Finding:
    """No session ran that preflight had to refuse.

    A refused start writes no table, so the tables can only show the contrary: the configuration of every session names
    this venue, and that of a session with real orders an account and an agent's key file. PASS: sessions there are, and
    none is against this. FAIL: one is. NOT YET: no session, or one whose configuration is in no table.
    """
    del rule
    evidence = f"bronze/configs, bronze/orders, {days_text(tables.days)}"
    configs = tables.config_of_session
    traded = set(tables.orders["session_id"])
    wrong = sorted(
        session
        for session, config in configs.items()
        if config.get("venue") != tables.venue
        or (session in traded and not (config.get("account") and config.get("agent_key_file")))
    )
    figure = f"{len(configs)} sessions, {len(traded)} with real orders, {len(wrong)} that should have been refused"
    if wrong:
        return Finding(FAIL, figure, f"{evidence}: {', '.join(wrong)[:200]}")
    unknown = sorted(traded - set(configs))
    if unknown or not configs:
        return Finding(NOT_YET, figure, f"{evidence}: no configuration of {', '.join(unknown)[:200] or 'any session'}")
    return Finding(PASS, figure, evidence)


def go_connection(tables: Tables, rule: PhaseRule) -> Finding:
    """Connection health is proved: connections were lost in the window, and every one came back by itself.

    PASS: at least one loss and all of them recovered within `recovery_s_max`. FAIL: one did not.
    """
    recoveries, failures = outages(tables, rule)
    evidence = f"bronze/events, bronze/health, {days_text(tables.window)}"
    slowest_s = max((back - lost for _, lost, back in recoveries), default=0) / 1e9
    figure = f"{len(recoveries)} recovered (slowest {slowest_s:.1f} s), {len(failures)} not"
    if failures:
        return Finding(FAIL, figure, evidence)
    if not recoveries:
        return Finding(NOT_YET, figure, f"{evidence}: no connection was lost yet")
    return Finding(PASS, figure, evidence)


def go_spot(tables: Tables, rule: PhaseRule) -> Finding:
    """Spot is sealed off: every market watched in the window is a perp of a builder dex, by name and by asset id.

    PASS: all rows of table specs. FAIL: one is not. NOT YET: no row.
    """
    del rule
    evidence = f"bronze/specs, {days_text(tables.window)}"
    markets = tables.specs.unique(["coin", "asset_id"]).sort("coin", "asset_id")
    if markets.is_empty():
        return Finding(NOT_YET, "", f"{evidence}: no spec was seen")
    is_perp = (pl.col("asset_id") >= HIP3_ASSET_ID_MIN) & pl.col("coin").str.contains(r"^[^@/:]+:[^@/:]+$")
    wrong = markets.filter(~is_perp)
    figure = f"{markets.height - wrong.height} builder perps, {wrong.height} others"
    if wrong.height:
        return Finding(FAIL, figure, f"{evidence}: {', '.join(wrong['coin'])[:200]}")
    return Finding(PASS, figure, evidence)
