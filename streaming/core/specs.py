"""Specification and status polls: what gates 4, 5 and 6 know.

Rule 1: a spec that differs from the approved one stops the market at once; it is approved by itself only after a
second poll says the same and 30 s have passed. Another change within an hour needs an operator.
Rule 2: a market that a poll does not name is unknown, and unknown blocks.
Rule 3: being delisted, as a halted market is while it lasts, is a status and no parameter: gate 6 stops the market and
lets it go by its own rule, and no operator is needed for what ends by itself.
"""

import msgspec

from streaming.core.effects import AnyOutput, ParamChanged, SpecObserved
from streaming.core.episodes import end_all
from streaming.core.events import MarketStatusReceived, SpecApproved, SpecsReceived
from streaming.core.latch import report_entries
from streaming.core.market import MarketSpec, MarketStatus
from streaming.core.state import EngineState, MarketState, TimerKind, schedule
from streaming.core.stop import answer
from streaming.core.trigger import set_threshold
from streaming.core.units import NS_PER_MS

_STOPPED = "market_stopped"
SPEC_VERSIONS_KEPT = 256


def observe_spec(state: EngineState, market: MarketState, out: list[AnyOutput]) -> None:
    """Write a spec version that this session has not seen before."""
    version = market.spec.spec_version
    if version not in market.seen_spec_versions:
        market.seen_spec_versions = [*market.seen_spec_versions[1 - SPEC_VERSIONS_KEPT :], version]
        out.append(SpecObserved(ts_ns=state.ts_ns, mono_ns=state.mono_ns, spec=market.spec))


def on_specs(state: EngineState, event: SpecsReceived, out: list[AnyOutput]) -> None:
    """Compare a poll with what is approved; markets that are new to us are not watched before a restart."""
    received = {spec.coin: spec for spec in event.specs}
    for coin, market in state.markets.items():
        spec = received.get(coin)
        market.is_in_meta = spec is not None
        if spec is None:
            _stop_trading(state, market, out)
        elif spec.spec_version != market.spec.spec_version:
            if _differs_in_listing_only(spec, market.spec):
                _change_listing(state, market, spec, out)
            else:
                _change_spec(state, market, spec, out)
        elif market.is_param_changed and not market.is_param_consistent and not market.needs_operator:
            market.is_param_consistent = True
            due = state.mono_ns + state.limits.gates.param_change_cooldown_ms * NS_PER_MS
            schedule(state, due, TimerKind.PARAM_COOLDOWN, coin, market.param_change_count)


def end_param_cooldown(state: EngineState, coin: str, change_count: int) -> None:
    """Approve a changed spec whose cooldown is over, unless it changed again."""
    market = state.markets[coin]
    if market.is_param_changed and not market.needs_operator and market.param_change_count == change_count:
        _approve(market)


def on_spec_approved(state: EngineState, event: SpecApproved, out: list[AnyOutput]) -> None:
    """Accept a changed spec for an operator."""
    market = state.markets.get(event.coin)
    reasons: tuple[str, ...] = ()
    if market is None:
        reasons = (f"market {event.coin!r} is not known here",)
    elif not market.is_param_changed:
        reasons = (f"the spec of {event.coin!r} is approved already",)
    else:
        _approve(market)
    answer(state, out, event.command_id, reasons)


def on_status(state: EngineState, event: MarketStatusReceived, out: list[AnyOutput]) -> None:
    """Take over a status poll: halts, caps, post-only window."""
    if event.is_post_only != state.is_post_only:
        state.is_post_only = event.is_post_only
        detail = "exchangeStatus.specialStatuses"
        report_entries(state, out, "venue_post_only", is_open=not event.is_post_only, detail=detail)
    received = {status.coin: status for status in event.statuses}
    for coin, market in state.markets.items():
        _take_status(state, market, received.get(coin), out)


def _take_status(state: EngineState, market: MarketState, status: MarketStatus | None, out: list[AnyOutput]) -> None:
    limits = state.limits.gates
    polled = market.status_mono_ns
    is_first = polled is None
    is_stale = polled is not None and state.mono_ns - polled > limits.status_age_ms_max * NS_PER_MS
    market.status = status
    market.status_mono_ns = state.mono_ns
    is_normal = (
        status is not None
        and status.is_halted is False
        and market.is_in_meta
        and not market.spec.is_delisted
        and not state.is_post_only
    )
    if not is_normal:
        _stop_trading(state, market, out)
    elif is_first:
        # Nothing was known and nothing was wrong: no cooldown at the start of a session.
        market.normal_mono_ns = state.mono_ns - limits.halt_cooldown_ms * NS_PER_MS
    elif market.normal_mono_ns is None or is_stale:
        market.normal_mono_ns = state.mono_ns


def _stop_trading(state: EngineState, market: MarketState, out: list[AnyOutput]) -> None:
    market.normal_mono_ns = None
    end_all(state, market, out, _STOPPED)


def _change_spec(state: EngineState, market: MarketState, spec: MarketSpec, out: list[AnyOutput]) -> None:
    last = market.param_change_mono_ns
    repeat_ns = state.limits.gates.param_change_repeat_ms * NS_PER_MS
    is_repeated = last is not None and state.mono_ns - last <= repeat_ns
    previous, market.spec = market.spec, spec
    market.is_param_changed = True
    market.is_param_consistent = False
    market.needs_operator = market.needs_operator or is_repeated
    market.param_change_mono_ns = state.mono_ns
    market.param_change_count += 1
    observe_spec(state, market, out)
    out.append(
        ParamChanged(
            ts_ns=state.ts_ns,
            mono_ns=state.mono_ns,
            coin=spec.coin,
            previous_spec_version=previous.spec_version,
            current_spec_version=spec.spec_version,
            fields=changed_fields(previous, spec),
            needs_operator=market.needs_operator,
        )
    )
    end_all(state, market, out, _STOPPED)
    set_threshold(market, state.limits.detector)
    if spec.is_delisted:
        _stop_trading(state, market, out)


def _differs_in_listing_only(spec: MarketSpec, other: MarketSpec) -> bool:
    relisted = msgspec.structs.replace(spec, is_delisted=other.is_delisted, spec_version=other.spec_version)
    return relisted == other


def _change_listing(state: EngineState, market: MarketState, spec: MarketSpec, out: list[AnyOutput]) -> None:
    if market.approved_spec_version == market.spec.spec_version:
        market.approved_spec_version = spec.spec_version
    market.spec = spec
    observe_spec(state, market, out)
    if spec.is_delisted:
        _stop_trading(state, market, out)


def changed_fields(previous: MarketSpec, current: MarketSpec) -> tuple[str, ...]:
    """Name what differs between two specs of a market, as `name: old → new`; the version hash itself is left out."""
    return tuple(
        [
            f"{name}: {getattr(previous, name)} → {getattr(current, name)}"
            for name in MarketSpec.__struct_fields__
            if name != "spec_version" and getattr(previous, name) != getattr(current, name)
        ]
    )


def _approve(market: MarketState) -> None:
    market.approved_spec_version = market.spec.spec_version
    market.is_param_changed = market.is_param_consistent = market.needs_operator = False
