"""Judging a rotation: whole or not at all, with every reason of a refusal.

Rule 1: versions go forward; a push names the sha256 of the document it replaces (compare and set, F-89).
Rule 2: a rotation tightens the limits of the file and never widens them (I-31, I-32).
Rule 3: it expires; entries for real money end then, exits go on. Paper trading ignores it.
"""

from streaming.core.allowance import share_allowances
from streaming.core.effects import AnyOutput, RotationExpired, RotationJudged
from streaming.core.events import MarketAllowance, RotationReceived
from streaming.core.state import EngineState, Rotation, TimerKind, schedule
from streaming.core.stop import answer
from streaming.core.trigger import threshold_bps_of
from streaming.core.units import ZERO

PAPER_ACCOUNT = "paper"
"""What a rotation calls the account where no order is signed."""


def rotation_reasons(state: EngineState, event: RotationReceived) -> tuple[str, ...]:
    """Return every reason against a rotation; empty when it may be applied."""
    return _document_reasons(state, event) + _market_reasons(state, event)


def on_rotation(state: EngineState, event: RotationReceived, out: list[AnyOutput]) -> None:
    """Apply a rotation in one step, or refuse it whole."""
    reasons = rotation_reasons(state, event)
    if not reasons:
        state.control.rotation = Rotation(
            version=event.version,
            sha256=event.sha256,
            expires_ts_ns=event.expires_ts_ns,
            markets=event.markets,
            blacklist=event.blacklist,
        )
        share_allowances(state)
        watch_expiry(state)
    out.append(
        RotationJudged(
            ts_ns=state.ts_ns,
            mono_ns=state.mono_ns,
            version=event.version,
            sha256=event.sha256,
            is_accepted=not reasons,
            reasons=reasons,
            expires_ts_ns=event.expires_ts_ns,
            markets=event.markets,
            blacklist=event.blacklist,
        )
    )
    answer(state, out, event.command_id, reasons)


def watch_expiry(state: EngineState) -> None:
    """Schedule the end of the rotation in force; an expiry that has passed fires at once."""
    rotation = state.control.rotation
    if rotation is not None and not rotation.is_expired:
        due = state.mono_ns + max(0, rotation.expires_ts_ns - state.ts_ns)
        schedule(state, due, TimerKind.ROTATION_EXPIRY, "", rotation.version)


def expire_rotation(state: EngineState, version: int, out: list[AnyOutput]) -> None:
    """End the rotation in force if its time has come on the wall clock; a clock that stepped back waits again."""
    rotation = state.control.rotation
    if rotation is None or rotation.version != version or rotation.is_expired:
        return
    if state.ts_ns < rotation.expires_ts_ns:
        watch_expiry(state)
        return
    state.control.rotation = Rotation(
        version=rotation.version,
        sha256=rotation.sha256,
        expires_ts_ns=rotation.expires_ts_ns,
        markets=rotation.markets,
        blacklist=rotation.blacklist,
        is_expired=True,
    )
    share_allowances(state)
    out.append(
        RotationExpired(ts_ns=state.ts_ns, mono_ns=state.mono_ns, version=rotation.version, sha256=rotation.sha256)
    )


def _document_reasons(state: EngineState, event: RotationReceived) -> tuple[str, ...]:
    session, current = state.session, state.control.rotation
    current_version = 0 if current is None else current.version
    current_sha256 = "" if current is None else current.sha256
    account = session.account or PAPER_ACCOUNT
    reasons = []
    if event.venue != session.venue:
        reasons.append(f"venue is {event.venue!r}, this session runs on {session.venue!r}")
    if (event.account or PAPER_ACCOUNT) != account:
        reasons.append(f"account is {event.account!r}, this session is {account!r}")
    if event.version <= current_version:
        reasons.append(f"version {event.version} does not go forward from {current_version}")
    if event.replaces_sha256 != current_sha256:
        found = event.replaces_sha256 or "nothing"
        reasons.append(f"it replaces {found}, but {current_sha256 or 'nothing'} is in force")
    if event.expires_ts_ns <= state.ts_ns:
        reasons.append("it has expired")
    if not event.markets and not event.stands_down:
        reasons.append("it allows no market")
    return tuple(reasons)


def _market_reasons(state: EngineState, event: RotationReceived) -> tuple[str, ...]:
    ntl_cap = state.limits.sizing.position_ntl_max
    reasons = []
    seen: list[str] = []
    for allowance in event.markets:
        coin = allowance.coin
        if coin in seen:
            reasons.append(f"market {coin!r} occurs twice")
        seen.append(coin)
        market = state.markets.get(coin)
        if market is None:
            reasons.append(f"market {coin!r} is not known here")
        elif market.is_exit_only:
            reasons.append(f"market {coin!r} is not configured here: it is watched to be left")
        if coin in event.blacklist:
            reasons.append(f"market {coin!r} is allowed and blacklisted")
        if not ZERO < allowance.ntl_max <= ntl_cap:
            reasons.append(f"market {coin!r}: ntl_max {allowance.ntl_max} is not above 0 and at most {ntl_cap}")
        reasons += _widening_reasons(state, allowance)
    return tuple(reasons)


def _widening_reasons(state: EngineState, allowance: MarketAllowance) -> list[str]:
    """Name the settings of one market that would be wider than the file's."""
    reasons = []
    limits, market = state.limits, state.markets.get(allowance.coin)
    if allowance.threshold_bps is not None and market is not None:
        own = threshold_bps_of(market.spec.taker_fee_bps, limits.detector)
        if allowance.threshold_bps < own:
            reasons.append(f"market {allowance.coin!r}: threshold_bps {allowance.threshold_bps} is below {own}")
    hold_ms, own_ms = allowance.hold_ms_max, limits.exits.time_stop_ms
    if hold_ms is not None and not 0 < hold_ms <= own_ms:
        reasons.append(f"market {allowance.coin!r}: hold_ms_max {hold_ms} is not above 0 and at most {own_ms}")
    return reasons
