"""The status as text for a terminal."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from streaming.contracts.control import MarketStatusView, OrderView, PositionView, StatusView, TradingView
from streaming.core.trading.model import OrderStatus
from streaming.core.units import NS_PER_S

_HEAD = ("market", "state", "book", "bid", "ask", "oracle", "mark", "bbo ms", "ctx ms", "blocked by", "episodes",
         "signals", "paper", "rotation", "stopped by", "session")  # fmt: skip
_POSITIONS = ("position", "size", "entry", "cost", "unrealised", "realised net", "held ms", "closing")
_ORDERS = ("order", "side", "leg", "limit", "size", "filled", "status", "reason", "age ms", "cloid")


def status_text(view: StatusView) -> str:
    """Return what an operator asks first, then one line a market."""
    link = "open" if view.is_connected else "LOST"
    facts = (
        ("venue", f"{view.venue}, account {view.account or 'none (observing)'}"),
        ("session", f"{view.session_id}, up {timedelta(seconds=int(view.uptime_s))}, version {view.version}"),
        ("config", view.config_hash),
        ("connection", f"{link}, generation {view.generation}, {view.reconnect_count} reconnects"),
        ("phase", f"{view.phase}, {'armed' if view.is_armed else 'not armed'}"),
        ("stop latch", "not set" if view.stop_reason is None else f"SET: {view.stop_reason}"),
        ("entries", f"closed by {', '.join(view.entries_closed_by)}" if view.entries_closed_by else "open"),
        ("rotation", _rotation(view)),
        ("rate use", f"{view.rate_use_ratio:.1%}"),
        ("seen", f"{view.seq} inputs, {view.episode_count} episodes, {view.signal_count} signals"),
        ("markets", f"{view.ready_count} of {view.market_count} ready"),
    )
    lines = [f"{name:<11} {text}" for name, text in facts + _trading(view.trading)]
    if view.trading.ignored_coins:
        lines.append(f"{'not ours':<11} {', '.join(view.trading.ignored_coins)}: accepted by a reset, left alone")
    lines += [f"{'GATE OFF':<11} {gate}: {reason}" for gate, reason in view.disabled_gates.items()]
    blocks = ["\n".join(lines) + "\n"]
    if view.trading.positions:
        blocks.append(table(_POSITIONS, [_position(position) for position in view.trading.positions]))
    if view.trading.orders:
        blocks.append(table(_ORDERS, [_order(order) for order in view.trading.orders]))
    blocks.append(table(_HEAD, [_row(market) for market in view.markets]))
    return "\n".join(blocks)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return left-aligned columns; an empty table is its head."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n"
        for row in (head, *rows)
    )


def _rotation(view: StatusView) -> str:
    if not view.rotation_version:
        return "none yet: paper everywhere, real entries nowhere"
    expiry = datetime.fromtimestamp(view.rotation_expires_ts_ns // NS_PER_S, tz=UTC)
    return f"version {view.rotation_version}, until {expiry:%Y-%m-%d %H:%M:%S} UTC, {view.rotation_sha256[:12]}"


def _trading(trading: TradingView) -> tuple[tuple[str, str], ...]:
    ready = "ready" if trading.is_ready else f"NOT READY: {trading.unready_reason or 'this sidecar does not trade'}"
    doubt = f", {trading.in_doubt_count} IN DOUBT" if trading.in_doubt_count else ""
    ladder = f"step {trading.ladder_step}, {trading.ladder_name or 'normal'}"
    return (
        ("trading", ready + (", CLOSING EVERYTHING" if trading.is_flattening else "")),
        ("ladder", ladder),
        ("orders", f"{len(trading.orders)} open{doubt}, {trading.action_in_flight_count} actions in flight"),
        ("positions", f"{len(trading.positions)} open"),
        ("address budget", _address(trading)),
        (
            "day result",
            f"{trading.day_pnl_usd:f}, drawdown {trading.drawdown_usd:f}, {trading.loss_streak_count} losses in a row",
        ),
    )


def _address(trading: TradingView) -> str:
    if trading.address_left_count is None:
        return "not read yet"
    hours = trading.address_left_hours
    return f"{trading.address_left_count} requests left" + ("" if hours is None else f", {hours} h at this rate")


def _position(position: PositionView) -> tuple[str, ...]:
    unrealised = "-" if position.unrealised_pnl is None else f"{position.unrealised_pnl:f}"
    return (
        position.coin,
        f"{position.sz:f}",
        f"{position.entry_px:f}",
        f"{position.cost_ntl:f}",
        unrealised,
        f"{position.net_pnl:f}",
        str(position.held_ms),
        position.exit_reason or "-",
    )


def _order(order: OrderView) -> tuple[str, ...]:
    return (
        order.coin,
        order.side,
        "exit" if order.is_reduce_only else "entry",
        f"{order.limit_px:f}",
        f"{order.sz:f}",
        f"{order.applied_sz:f}",
        order.status.upper() if order.status == OrderStatus.IN_DOUBT else order.status,
        order.reason,
        str(order.age_ms),
        order.cloid,
    )


def _row(market: MarketStatusView) -> tuple[str, ...]:
    return (
        market.coin,
        f"{market.state} {market.reason}".strip(),
        market.book_class,
        *("-" if px is None else f"{px}" for px in (market.bid_px, market.ask_px, market.oracle_px, market.mark_px)),
        *("-" if age is None else str(age) for age in (market.bbo_age_ms, market.ctx_age_ms)),
        ",".join(market.blocking_gates) or "-",
        str(market.episode_count),
        str(market.signal_count),
        f"{market.position_sz}",
        "allowed" if market.is_allowed else "-",
        market.stopped_by or "-",
        _session(market),
    )


def _session(market: MarketStatusView) -> str:
    state = "open" if market.is_session_open else "closed"
    if market.session_change_ts_ns is None:
        return state
    change = datetime.fromtimestamp(market.session_change_ts_ns // NS_PER_S, tz=UTC)
    return f"{state} until {change:%a %H:%M}"
