"""`hip3 bench replay`: market data of the simulated venue through the engine on one core, time being data.

Rule 1: the events are those of history: all markets of a scenario, polls of specs and statuses every 30 s, deadlines
fired at their time, paper trading on; so gates, signals, follow-ups, fills and exits happen as they do live.
Rule 2: nothing is written: a journal and tables cost extra, what is measured is deciding.
Rule 3: the time is that of the processor: what other programs take of the core is not ours.
Rule 4: every pass begins with a new state, and all passes must decide the same, else the figure is void.
"""

from collections.abc import Callable, Sequence
from time import process_time_ns
from typing import Any, NamedTuple

import msgspec
import numpy as np

from streaming.core.effects import AnyOutput
from streaming.core.engine import new_state, next_deadline_mono_ns, step
from streaming.core.events import (
    AnyEvent,
    BboUpdated,
    ConnectionOpened,
    CtxUpdated,
    MarketStatusReceived,
    Phase,
    PhaseRequested,
    SpecsReceived,
    SubscriptionAcked,
    TimerFired,
)
from streaming.core.limits import Limits
from streaming.core.market import MarketSpec
from streaming.core.state import EngineState, SessionInfo
from streaming.core.units import NS_PER_MS, NS_PER_S
from streaming.hyperliquid.decode import decode_frame
from streaming.sim.bench.statistic import NotComparable, median, ratio
from streaming.sim.history.feed import GENERATION, Feed, Timed, in_force, merged, within
from streaming.sim.history.listing import Polls
from streaming.sim.markets.generator import HOUR_MS, Generator
from streaming.sim.scenario.load import load_scenario
from streaming.sim.venue.market.wire import frame

_SPAN_MS = 60_000
_POLL_MS = 30_000
_HOURS_MAX = 24
_BEGIN_MS = 1_788_271_200_000
"""2026-09-01 14:00 UTC: a Tuesday on which every market trades."""


class Recording(NamedTuple):
    """What happens, decoded already."""

    specs: tuple[MarketSpec, ...]
    opening: list[AnyEvent]
    events: list[AnyEvent]


def record(*, seed: int, scenario_name: str, count: int) -> Recording:
    """Return at least `count` events of a scenario, in whole minutes; a day of them at most."""
    scenario = load_scenario(scenario_name, seed=seed)
    generator = Generator(seed, scenario)
    polls = Polls(generator, _BEGIN_MS, _BEGIN_MS + _HOURS_MAX * HOUR_MS)
    coins = [spec.coin for spec in polls.watched]
    feed = Feed(tuple(scenario.universe.by_coin[coin] for coin in coins))
    events: list[AnyEvent] = []
    for hour_ms in range(_BEGIN_MS, _BEGIN_MS + _HOURS_MAX * HOUR_MS, HOUR_MS):
        hours = [generator.hour(coin, hour_ms // HOUR_MS) for coin in coins]
        for begin_ms in range(hour_ms, hour_ms + HOUR_MS, _SPAN_MS):
            end_ms = begin_ms + _SPAN_MS
            parts = [part for hour in hours for part in feed.parts(within(hour, begin_ms, end_ms))]
            events += merged([_polled(polls, begin_ms, end_ms), *parts])[0]
            if len(events) >= count:
                return Recording(polls.watched, _opening(generator, feed, coins), events)
    return Recording(polls.watched, _opening(generator, feed, coins), events)


def _opening(generator: Generator, feed: Feed, coins: Sequence[str]) -> list[AnyEvent]:
    """A session that just connected: phase, acks, first data of every market."""
    at_ns = _BEGIN_MS * NS_PER_MS
    stamps = {"recv_mono_ns": at_ns, "recv_ts_ns": at_ns}
    opening: list[AnyEvent] = [
        PhaseRequested(
            recv_mono_ns=at_ns, recv_ts_ns=at_ns, command_id=1, phase=Phase.PAPER, reason="bench", operator="bench"
        ),
        ConnectionOpened(**stamps, generation=GENERATION),
    ]
    for coin in coins:
        first = in_force(generator.hour(coin, (_BEGIN_MS - 1) // HOUR_MS), _BEGIN_MS)
        opening += [
            SubscriptionAcked(recv_mono_ns=at_ns, recv_ts_ns=at_ns, generation=GENERATION, channel=channel, coin=coin)
            for channel in ("bbo", "activeAssetCtx")
        ]
        opening += [
            msgspec.structs.replace(event, **stamps) for event in (*feed.bbo(first).events, *feed.ctx(first).events)
        ]
    return opening


def _polled(polls: Polls, begin_ms: int, end_ms: int) -> Timed:
    events: list[AnyEvent] = []
    for at_ms in range(begin_ms, end_ms, _POLL_MS):
        at_ns, polled = at_ms * NS_PER_MS, polls.at(at_ms)
        events += (
            SpecsReceived(recv_mono_ns=at_ns, recv_ts_ns=at_ns, specs=polled.specs),
            MarketStatusReceived(recv_mono_ns=at_ns, recv_ts_ns=at_ns, statuses=polled.statuses, is_post_only=False),
        )
    return Timed(np.array([event.recv_ts_ns // NS_PER_MS for event in events], dtype=np.int64), events)


class Pass(NamedTuple):
    """One way through all events."""

    seconds: float
    event_count: int
    output_counts: dict[str, int]

    @property
    def events_per_s(self) -> float:
        """Events of the feed and fired deadlines, per second."""
        return self.event_count / self.seconds


def opened(recording: Recording) -> EngineState:
    """Return the state of a session that is connected and whose markets are ready."""
    session = SessionInfo(session_id="bench", venue="sim", account="", code_version="bench", config_hash="bench")
    state = new_state(session, Limits(), recording.specs)
    for event in recording.opening:
        step(state, event)
    return state


def play(state: EngineState, events: Sequence[AnyEvent]) -> Pass:
    """Send decoded events through the engine."""
    outputs: list[AnyOutput] = []
    first_seq, begin_ns = state.seq, process_time_ns()
    for event in events:
        due_ns = next_deadline_mono_ns(state)
        while due_ns is not None and due_ns < event.recv_mono_ns:
            outputs += step(state, TimerFired(recv_mono_ns=due_ns, recv_ts_ns=due_ns))
            due_ns = next_deadline_mono_ns(state)
        outputs += step(state, event)
    seconds = (process_time_ns() - begin_ns) / NS_PER_S
    return Pass(seconds, state.seq - first_seq, _counted(outputs))


def play_frames(state: EngineState, frames: Sequence[tuple[bytes | AnyEvent, int]]) -> Pass:
    """Send frames, and the events that are no frames, through the decoder and the engine."""
    outputs: list[AnyOutput] = []
    first_seq, begin_ns = state.seq, process_time_ns()
    for raw, at_ns in frames:
        due_ns = next_deadline_mono_ns(state)
        while due_ns is not None and due_ns < at_ns:
            outputs += step(state, TimerFired(recv_mono_ns=due_ns, recv_ts_ns=due_ns))
            due_ns = next_deadline_mono_ns(state)
        if isinstance(raw, bytes):
            raw = decode_frame(raw, generation=GENERATION, recv_mono_ns=at_ns, recv_ts_ns=at_ns)  # noqa: PLW2901
        outputs += step(state, raw)
    seconds = (process_time_ns() - begin_ns) / NS_PER_S
    return Pass(seconds, state.seq - first_seq, _counted(outputs))


def frames_of(events: Sequence[AnyEvent]) -> list[tuple[bytes | AnyEvent, int]]:
    """Return the frame of every event that came as one, with the instant of its receipt."""
    return [(_frame_of(event), event.recv_mono_ns) for event in events]


def bench_replay(
    *, seed: int, scenario_name: str, count: int, rounds: int, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Measure `rounds` passes of every variant over the same events.

    Raises:
        NotComparable: Two passes decided differently.
    """
    tell(f"replay: generating at least {count:,} events of the scenario {scenario_name}")
    recording = record(seed=seed, scenario_name=scenario_name, count=count)
    frames = frames_of(recording.events)
    passes: dict[str, list[Pass]] = {"a": [], "decoding": [], "b": []}
    for number in range(rounds):
        passes["a"].append(play(opened(recording), recording.events))
        passes["decoding"].append(play_frames(opened(recording), frames))
        passes["b"].append(play(opened(recording), recording.events))
        tell(f"replay: {number + 1} of {rounds} rounds, {passes['b'][-1].events_per_s:,.0f} events/s")
    first = passes["a"][0]
    for each in (one for several in passes.values() for one in several):
        if each.output_counts != first.output_counts:
            raise NotComparable(f"expected {first.output_counts} of every pass, found {each.output_counts}")
    rates = {name: median([each.events_per_s for each in several]) for name, several in passes.items()}
    return {
        "events_per_s": round((rates["a"] + rates["b"]) / 2),
        "events_per_s_decoding": round(rates["decoding"]),
        "aa_ratio": ratio(rates["a"], rates["b"]),
        "event_count": first.event_count,
        "market_count": len(recording.specs),
        "outputs": first.output_counts,
        "rounds": rounds,
    }


def _counted(outputs: Sequence[AnyOutput]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for output in outputs:
        name = type(output).__name__
        counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items()))


def _frame_of(event: AnyEvent) -> bytes | AnyEvent:
    match event:
        case BboUpdated():
            sides = [_side(event.bid_px, event.bid_sz), _side(event.ask_px, event.ask_sz)]
            return frame("bbo", {"coin": event.coin, "time": event.venue_ts_ms, "bbo": sides}).encode()
        case CtxUpdated():
            impact = event.impact_bid_px, event.impact_ask_px
            ctx = {
                "funding": f"{event.funding_ratio:.10f}",
                "openInterest": _text(event.open_interest_sz),
                "dayNtlVlm": None if event.day_ntl_vlm_usd is None else f"{event.day_ntl_vlm_usd:.6f}",
                "premium": None if event.premium_ratio is None else f"{event.premium_ratio:.10f}",
                "oraclePx": _text(event.oracle_px),
                "markPx": _text(event.mark_px),
                "midPx": _text(event.mid_px),
                "impactPxs": None if None in impact else list(map(_text, impact)),
            }
            return frame("activeAssetCtx", {"coin": event.coin, "ctx": ctx}).encode()
        case _:
            return event  # polls are no frames; trades decide nothing


def _side(px: object, sz: object) -> dict[str, object] | None:
    return None if px is None else {"px": _text(px), "sz": _text(sz), "n": 1}


def _text(number: object) -> str | None:
    return None if number is None else f"{number:f}"
