"""Rows of the tables out of recorded inputs and decisions: the one place that knows which output becomes which row.

The journal's projector, the replay of recorded frames and the history writer all feed the same `Projector`, so a table
means the same wherever it came from (I-27).

Rule 1: a row is a tuple in `Table.names` order without `SESSION_COLUMNS`; the writer of the part adds those.
Rule 2: nothing is rounded or cast here but a mean price, which no decimal holds exactly. A value that a table can not
hold is refused when the part is sealed (I-28).
Rule 3: the day of a row is the UTC day of its table's day column (I-29).
Rule 4: an input that the engine dropped (duplicate, older generation) still has its row: tables hold what was received.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from streaming.contracts.paths import day_begin_ns, day_of
from streaming.contracts.projection_events import TRANSITIONS, cut
from streaming.contracts.projection_trading import TRADING_ROWS
from streaming.contracts.tables import TABLES
from streaming.core import effects as fx
from streaming.core import events as ev
from streaming.core.errors import InvariantViolation, check
from streaming.core.market import MarketSpec
from streaming.core.trading import effects as tx
from streaming.core.units import NS_PER_DAY

Row = tuple[Any, ...]
Rows = dict[tuple[str, str], list[Row]]
"""(table, day) → rows."""

NOT_PROJECTED: tuple[type, ...] = (
    fx.EpisodeBegan,
    tx.ActionDecided,
    tx.LossesChanged,
    tx.RecordBegan,
    tx.AccountAsked,
    tx.FillsAsked,
    tx.OrderAsked,
    fx.Resubscribe,
    fx.Reconnect,
    fx.CommandAnswered,
)
"""Outputs without a row. The begin stands in the row of the ended episode, an action's tickets are orders with intent
and its end has a row, losses are sums of `round_trips` and `ledger`, where our record begins matters to recovery only;
the others ask the shell to act."""

_NO_MARKET = (-1, "")


def _discard(_row: Row) -> None:
    """Take a row of a day that was not asked for."""


class _Sink:
    """The rows of one table, with the day that the last row fell into kept at hand."""

    __slots__ = ("append", "begin_ns", "end_ns", "table")

    def __init__(self, table: str) -> None:
        self.table = table
        self.forget()

    def forget(self) -> None:
        """Let the next row look up its day."""
        self.begin_ns = 0
        self.end_ns = 0
        self.append: Callable[[Row], None] = _discard


class Projector:
    """Turn inputs and their outputs into rows, sequence number by sequence number.

    Args:
        specs: Specs in force before the first input; `SpecsReceived` and `SpecObserved` replace them.
        filter_day: Keep only rows of this UTC day (YYYY-MM-DD); None keeps all.
        has_market_data: False leaves out the rows of `bbo` and `ctx`, for a writer that has them as columns already.
    """

    def __init__(
        self, specs: Iterable[MarketSpec], *, filter_day: str | None = None, has_market_data: bool = True
    ) -> None:
        self.unknown_coin_count = 0
        """Market inputs without a row because no spec names their coin."""
        self._filter_day = filter_day
        self._markets = {spec.coin: (spec.asset_id, spec.spec_version) for spec in specs}
        self._rows: Rows = {}
        self._sinks = {name: _Sink(name) for name in TABLES}
        self._bbo = self._sinks["bbo"]
        self._ctx = self._sinks["ctx"]
        self._health = self._sinks["health"]
        self._ordinal = 0
        self._signals: dict[str, fx.SignalRaised] = {}
        self._inputs: dict[type, Callable[[int, Any], None]] = {
            ev.SpecsReceived: self._specs_received,
            ev.FrameMalformed: self._frame_malformed,
        }
        if has_market_data:
            self._inputs |= {ev.BboUpdated: self._bbo_updated, ev.CtxUpdated: self._ctx_updated}
        self._outputs: dict[type, Callable[[int, Any], None]] = {
            **dict.fromkeys(NOT_PROJECTED, _ignore),
            **dict.fromkeys(TRANSITIONS, self._transition),
            **dict.fromkeys(TRADING_ROWS, self._trading),
            fx.TradesAccepted: self._trades_accepted,
            fx.EpisodeEnded: self._episode_ended,
            fx.SignalRaised: self._signal_raised,
            fx.GatesEvaluated: self._gates_evaluated,
            fx.FollowupTaken: self._followup_taken,
            fx.SpecObserved: self._spec_observed,
            fx.RotationJudged: self._rotation_judged,
            fx.HealthSampled: self._health_sampled,
        }

    def feed(self, seq: int, event: ev.AnyEvent, outputs: Sequence[fx.AnyOutput]) -> None:
        """Add the rows of one input and of everything the engine decided on it.

        Raises:
            InvariantViolation: A signal came without its gates (I-07), or an output has no place here.
        """
        handler = self._inputs.get(type(event))
        if handler is not None:
            handler(seq, event)
        if outputs:
            self._feed_outputs(seq, outputs)

    def session_began(self, ts_ns: int, code_version: str, config_json: str, seq: int) -> None:
        """Add the row that resolves the session's `config_hash`."""
        self._add("configs", ts_ns, (seq, "", *_NO_MARKET, ts_ns, code_version, config_json))

    def take(self) -> Rows:
        """Return the rows collected since the last call and forget them; no list is empty."""
        rows = self._rows
        self._rows = {}
        for sink in self._sinks.values():
            sink.forget()
        return rows

    def _feed_outputs(self, seq: int, outputs: Sequence[fx.AnyOutput]) -> None:
        for ordinal, output in enumerate(outputs):
            handler = self._outputs.get(type(output))
            if handler is None:
                raise InvariantViolation("I-27", output=type(output).__name__)
            self._ordinal = ordinal
            handler(seq, output)
        if self._signals:
            raise InvariantViolation("I-07", seq=seq, signals_without_gates=list(self._signals))

    def _add(self, table: str, ts_ns: int, row: Row) -> None:
        sink = self._sinks[table]
        if not sink.begin_ns <= ts_ns < sink.end_ns:
            self._turn_to_day(sink, ts_ns)
        sink.append(row)

    def _turn_to_day(self, sink: _Sink, ts_ns: int) -> None:
        day = day_of(ts_ns)
        sink.begin_ns = day_begin_ns(day)
        sink.end_ns = sink.begin_ns + NS_PER_DAY
        if self._filter_day is None or self._filter_day == day:
            sink.append = self._rows.setdefault((sink.table, day), []).append
        else:
            sink.append = _discard

    # Inputs. The first two run for nearly every frame: no call but `append`.

    def _bbo_updated(self, seq: int, event: ev.BboUpdated) -> None:
        market = self._markets.get(event.coin)
        if market is None:
            self.unknown_coin_count += 1
            return
        sink = self._bbo
        ts_ns = event.recv_ts_ns
        if not sink.begin_ns <= ts_ns < sink.end_ns:
            self._turn_to_day(sink, ts_ns)
        sink.append(
            (
                seq, event.coin, market[0], market[1], ts_ns, event.recv_mono_ns, event.venue_ts_ms, event.generation,
                event.bid_px, event.bid_sz, event.ask_px, event.ask_sz,
            )
        )  # fmt: skip

    def _ctx_updated(self, seq: int, event: ev.CtxUpdated) -> None:
        market = self._markets.get(event.coin)
        if market is None:
            self.unknown_coin_count += 1
            return
        sink = self._ctx
        ts_ns = event.recv_ts_ns
        if not sink.begin_ns <= ts_ns < sink.end_ns:
            self._turn_to_day(sink, ts_ns)
        sink.append(
            (
                seq, event.coin, market[0], market[1], ts_ns, event.recv_mono_ns, event.generation, event.oracle_px,
                event.mark_px, event.mid_px, event.impact_bid_px, event.impact_ask_px, float(event.open_interest_sz),
                event.funding_ratio, event.premium_ratio, event.day_ntl_vlm_usd,
            )
        )  # fmt: skip

    def _specs_received(self, _seq: int, event: ev.SpecsReceived) -> None:
        for spec in event.specs:
            self._markets[spec.coin] = (spec.asset_id, spec.spec_version)

    def _frame_malformed(self, seq: int, event: ev.FrameMalformed) -> None:
        # An input has one row before those of its outputs, hence ordinal -1.
        row = (-1, event.recv_ts_ns, "malformed_frame", event.channel, "unreadable", cut(event.reason), None)
        # The name came from an unreadable frame: it counts only if a spec knows it (I-35).
        coin = event.coin if event.coin in self._markets else ""
        self._add("events", event.recv_ts_ns, (seq, coin, *self._market(coin), *row))

    # Outputs.

    def _market(self, coin: str) -> tuple[int, str]:
        return self._markets.get(coin, _NO_MARKET)

    def _trades_accepted(self, seq: int, output: fx.TradesAccepted) -> None:
        for t in output.trades:
            row = (output.ts_ns, t.venue_ts_ms, t.tid, t.side, t.px, t.sz)
            self._add("trades", output.ts_ns, (seq, t.coin, *self._market(t.coin), *row))

    def _episode_ended(self, seq: int, o: fx.EpisodeEnded) -> None:
        row = (
            o.episode_id, o.begin_ts_ns, o.ts_ns, o.side.value, o.origin, o.duration_ms, o.tick_count,
            o.entry_edge_bps, o.peak_edge_bps, o.threshold_bps, o.ended_by,
        )  # fmt: skip
        self._add("episodes", o.begin_ts_ns, (seq, o.coin, *self._market(o.coin), *row))

    def _signal_raised(self, _seq: int, output: fx.SignalRaised) -> None:
        self._signals[output.signal_id] = output

    def _gates_evaluated(self, seq: int, output: fx.GatesEvaluated) -> None:
        s = self._signals.pop(output.signal_id, None)
        check(s is not None, "I-07", seq=seq, gates_without_signal=output.signal_id)
        if s is None:
            return
        head = (seq, s.coin, *self._market(s.coin))
        row = (
            s.signal_id, s.episode_id, s.ts_ns, s.side.value, s.origin, s.limit_px, s.touch_sz, s.raw_edge_bps,
            s.net_edge_bps, s.threshold_bps, s.taker_fee_bps, *_book(s.book), s.bbo_seq, s.ctx_seq,
            output.is_blocked, ",".join(output.blocked_by),
        )  # fmt: skip
        self._add("signals", s.ts_ns, (*head, *row))
        for r in output.results:
            gate = (s.signal_id, output.ts_ns, r.gate.value, r.status.value, r.observed, r.limit)
            self._add("gates", output.ts_ns, (*head, *gate))

    def _followup_taken(self, seq: int, o: fx.FollowupTaken) -> None:
        row = (
            o.signal_id, o.signal_ts_ns, o.ts_ns, o.offset_ms, o.side.value, o.entry_px, o.is_missing,
            o.missing_reason, *_book(o.book),
        )  # fmt: skip
        self._add("followups", o.signal_ts_ns, (seq, o.coin, *self._market(o.coin), *row))

    def _trading(self, seq: int, output: fx.AnyOutput) -> None:
        table, make = TRADING_ROWS[type(output)]
        coin, day_ts_ns, row = make(self._ordinal, output)
        self._add(table, day_ts_ns, (seq, coin, *self._market(coin), *row))

    def _spec_observed(self, seq: int, output: fx.SpecObserved) -> None:
        s = output.spec
        self._markets[s.coin] = (s.asset_id, s.spec_version)
        row = (
            output.ts_ns, s.dex, s.sz_decimals, s.leverage_max, s.margin_mode, s.is_growth_mode, s.deployer_fee_scale,
            s.taker_fee_bps, s.is_delisted, s.collateral_token,
        )  # fmt: skip
        self._add("specs", output.ts_ns, (seq, s.coin, s.asset_id, s.spec_version, *row))

    def _rotation_judged(self, seq: int, o: fx.RotationJudged) -> None:
        markets = {m.coin: str(m.ntl_max) for m in o.markets}
        row = (
            o.ts_ns, o.version, o.sha256, o.is_accepted, "; ".join(o.reasons), o.expires_ts_ns, len(o.markets),
            json.dumps(markets, sort_keys=True),
        )  # fmt: skip
        self._add("rotations", o.ts_ns, (seq, "", *_NO_MARKET, *row))
        self._transition(seq, o)

    def _health_sampled(self, seq: int, o: fx.HealthSampled) -> None:
        # One row a second and market: no call but `append`.
        sink, ts_ns, b = self._health, o.ts_ns, o.book
        asset_id, spec_version = self._markets.get(o.coin, _NO_MARKET)
        if not sink.begin_ns <= ts_ns < sink.end_ns:
            self._turn_to_day(sink, ts_ns)
        sink.append(
            (
                seq, o.coin, asset_id, spec_version, ts_ns, o.is_ready, o.book_class, b.bid_px, b.bid_sz, b.ask_px,
                b.ask_sz, b.oracle_px, b.mark_px, b.spread_bps, b.bbo_age_ms, b.confirmation_age_ms, b.ctx_age_ms,
                b.oracle_age_ms, o.bbo_count, o.bbo_null_count, o.ctx_count, o.is_oracle_stale, o.is_spread_shock,
                float(o.rate_use_ratio),
            )
        )  # fmt: skip

    def _transition(self, seq: int, output: fx.AnyOutput) -> None:
        kind, describe = TRANSITIONS[type(output)]
        coin, subject, state, detail, value = describe(output)
        row = (self._ordinal, output.ts_ns, kind, subject, state, cut(detail), value)
        self._add("events", output.ts_ns, (seq, coin, *self._market(coin), *row))


def _ignore(_seq: int, _output: object) -> None:
    """Make no row."""


def _book(b: fx.BookSnapshot) -> Row:
    return (
        b.bid_px, b.bid_sz, b.ask_px, b.ask_sz, b.oracle_px, b.mark_px, b.spread_bps, b.bbo_age_ms,
        b.confirmation_age_ms, b.ctx_age_ms, b.oracle_age_ms,
    )  # fmt: skip
