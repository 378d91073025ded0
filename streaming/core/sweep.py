"""The fixed clock: once a second every market's gates are compared with the last report, and its health is sampled.

Rule 1: ages are those of the deadline, away from any update; right after an update they would always read 0.
Rule 2: transitions are reported, not ticks.
Rule 3: a jump of the clock (suspend, gap in a recording) skips seconds instead of inventing samples for them.
"""

from streaming.core.effects import AnyOutput, GateChanged, GateId, GateResult, GateStatus, HealthSampled
from streaming.core.gates import GATES, decide, evaluate
from streaming.core.paper import request_exit
from streaming.core.spread import learn_spread
from streaming.core.state import EngineState, MarketState, Readiness, TimerKind, age_ms, schedule
from streaming.core.trading.market_stops import watch_gates
from streaming.core.units import NS_PER_S

SWEEP_NS = NS_PER_S
CATCH_UP_NS_MAX = 10 * NS_PER_S
_INDEX = {row.id: index for index, row in enumerate(GATES)}
_FRESH = _INDEX[GateId.ORACLE_FRESH]
_SHOCK = _INDEX[GateId.SPREAD_SHOCK]
_EXIT_GATES = tuple([_INDEX[row.id] for row in GATES if row.action_in_position == "shrink, then stop"])


def sweep(state: EngineState, out: list[AnyOutput]) -> None:
    """Sample every market as of the deadline and schedule the next second."""
    now = state.mono_ns
    limits = state.limits.gates
    for market in state.markets.values():
        learn_spread(market, limits)
        statuses = decide(market, now, limits)
        if statuses != market.gate_statuses:
            _report_changes(state, market, evaluate(market, now, limits), out)
            market.gate_statuses = statuses
        out.append(_sample(state, market, statuses))
        if state.positions and market.spec.coin in state.positions:
            _exit_if_stopped(state, market, statuses)
        if state.session.agent:
            watch_gates(state, market.spec.coin, statuses, out)
    _schedule_next(state)


def start_sweep(state: EngineState) -> None:
    """Begin the fixed clock one second from now; until the first report every gate counts as blocking."""
    for market in state.markets.values():
        market.gate_statuses = [GateStatus.BLOCK] * len(GATES)
        market.gate_since_mono_ns = [state.mono_ns] * len(GATES)
    schedule(state, state.mono_ns + SWEEP_NS, TimerKind.SWEEP)


def _schedule_next(state: EngineState) -> None:
    behind = state.event_mono_ns - state.mono_ns
    skipped = behind // SWEEP_NS * SWEEP_NS if behind > CATCH_UP_NS_MAX else 0
    schedule(state, state.mono_ns + SWEEP_NS + skipped, TimerKind.SWEEP)


def _report_changes(
    state: EngineState, market: MarketState, results: tuple[GateResult, ...], out: list[AnyOutput]
) -> None:
    now = state.mono_ns
    for index, result in enumerate(results):
        previous = market.gate_statuses[index]
        if result.status is not previous:
            out.append(
                GateChanged(
                    ts_ns=state.ts_ns,
                    mono_ns=now,
                    coin=market.spec.coin,
                    gate=result.gate,
                    previous=previous,
                    current=result.status,
                    observed=result.observed,
                    limit=result.limit,
                    blocked_ms=age_ms(now, market.gate_since_mono_ns[index]),
                )
            )
            market.gate_since_mono_ns[index] = now


def _sample(state: EngineState, market: MarketState, statuses: list[GateStatus]) -> HealthSampled:
    counts, market.no_signal_counts = market.no_signal_counts, {}  # the sample must not change after it was taken
    sample = HealthSampled(
        ts_ns=state.ts_ns,
        mono_ns=state.mono_ns,
        coin=market.spec.coin,
        is_ready=market.readiness is Readiness.READY,
        book_class=market.book_class,
        book=market.snapshot(state.mono_ns),
        bbo_count=market.bbo_count,
        bbo_null_count=market.bbo_null_count,
        ctx_count=market.ctx_count,
        is_oracle_stale=statuses[_FRESH] is GateStatus.BLOCK,
        is_spread_shock=market.shock_level > 0 and statuses[_SHOCK] is not GateStatus.PASS,
        rate_use_ratio=state.rate_use_ratio,
        no_signal_counts=counts,
    )
    market.bbo_count = market.bbo_null_count = market.ctx_count = 0
    return sample


def _exit_if_stopped(state: EngineState, market: MarketState, statuses: list[GateStatus]) -> None:
    for index in _EXIT_GATES:
        if statuses[index] is GateStatus.BLOCK:
            request_exit(state, market.spec.coin, f"gate_{GATES[index].id}")
            return
