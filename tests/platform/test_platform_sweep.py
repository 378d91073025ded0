"""A sweep on columns against the engine itself: the same rows, the same signals, the same gate vectors."""

import argparse
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest
from core_builders import (
    COIN,
    START_TS_NS,
    a_bbo,
    a_book,
    a_ctx,
    a_poll,
    a_session,
    a_spec,
    a_status,
    an_ack,
    an_engine,
    an_opening,
    events_until_ready,
    limits_with,
    stamps,
    venue_ms,
)  # fmt: skip
from hypothesis import given
from hypothesis import strategies as st

from hip3_platform.analytics.bronze import compact
from hip3_platform.analytics.landing import read_landing
from hip3_platform.analytics.sweep import CONTROLS, NotSweptError, sweep
from hip3_platform.analytics.sweep_exact import exceeds, reaches
from hip3_platform.analytics.sweep_spread import learned_of
from hip3_platform.analytics.sweep_tape import SOURCE_TABLES, Tape, tape_of
from hip3_platform.cli import sweep as command
from streaming.contracts.paths import day_of
from streaming.contracts.projection import Projector
from streaming.contracts.tables import TABLES
from streaming.core.effects import AnyOutput, GateId, GatesEvaluated, SignalRaised
from streaming.core.engine import step
from streaming.core.errors import ConfigError, StoreError
from streaming.core.events import AnyEvent, ConnectionLost, RateUseReported, SessionClosed, SpecsReceived, StopRequested
from streaming.core.limits import Limits
from streaming.shell.tables.seal import PartWriter

SPEC = a_spec()
DEARER = a_spec(taker_fee_bps="1.8")
SECONDS = 240

SETTINGS: dict[str, Limits] = {
    "as recorded": Limits(),
    "least edge": limits_with(detector={"edge_bps_min": Decimal("6.5")}),
    "no edge at all": limits_with(detector={"edge_bps_min": Decimal(0), "slippage_bps": Decimal("0.5")}),
    "arms soon": limits_with(detector={"rearm_ratio": Decimal("0.95")}),
    "ctx age": limits_with(gates={"ctx_age_ms_max": 350}),
    "ctx age, long": limits_with(gates={"ctx_age_ms_max": 60_000}),
    "divergence": limits_with(gates={"mark_mid_divergence_bps_max": Decimal("3.25")}),
    "confirmation": limits_with(gates={"bbo_confirmation_age_ms_max": 200}),
    "k": limits_with(gates={"spread_shock_ratio_max": Decimal("1.6")}),
    "k, learned": limits_with(
        gates={"spread_shock_ratio_max": Decimal(9), "spread_shock_margin_ratio": Decimal("1.05")}
    ),
    "k, least": limits_with(gates={"spread_shock_ratio_min": Decimal("2.5"), "spread_shock_cooldown_ms": 900}),
    "mean": limits_with(gates={"spread_ewma_alpha": Decimal("0.2"), "spread_ewma_count_min": 150}),
    "two at once": limits_with(detector={"edge_bps_min": Decimal(4)}, gates={"ctx_age_ms_max": 700}),
}  # fmt: skip


@dataclass
class World:
    """A market whose quote follows its oracle late, on a feed that misbehaves now and then."""

    rng: random.Random
    has_books: bool = False
    oracle: int = 10_000
    """Cents, and so is the mid."""
    mid: int = 10_000
    generation: int = 1
    is_acked: bool = True

    def events(self) -> Iterator[AnyEvent]:
        """Yield a session from its first connection to its end."""
        yield SpecsReceived(**stamps(0), specs=(SPEC,))
        yield from events_until_ready(0)
        at_ms = 50.0
        while at_ms < SECONDS * 1_000:
            at_ms += self.rng.expovariate(1 / 90)
            yield from self._at(at_ms)
        yield SessionClosed(**stamps(at_ms + 1_500), reason="test")

    def _at(self, at_ms: float) -> Iterator[AnyEvent]:
        dice = self.rng.random()
        if not self.is_acked and dice < 0.04:
            # Data may flow long before the subscription is acknowledged: until then the market is not ready.
            self.is_acked = True
            for channel in ("bbo", "activeAssetCtx"):
                yield an_ack(at_ms, channel=channel, generation=self.generation)
        if dice < 0.30:
            yield self._ctx(at_ms)
        elif dice < 0.40:
            yield from self._trouble(at_ms)
        elif dice < 0.50 and self.has_books:
            yield a_book(at_ms, bid_px=_px(self.mid - 2), ask_px=_px(self.mid + 2), generation=self.generation)
        else:
            yield self._bbo(at_ms)

    def _trouble(self, at_ms: float) -> Iterator[AnyEvent]:
        match self.rng.choices(range(9), weights=(40, 20, 15, 5, 3, 5, 8, 4, 2))[0]:
            case 0:
                self.mid = self.oracle
                yield self._bbo(at_ms)
            case 1:
                yield self._bbo(at_ms, half=self.rng.choice((6, 12, 25)))
            case 2:
                yield a_bbo(at_ms, bid_px=None, generation=self.generation)
            case 3:
                yield self._bbo(at_ms, venue_ts_ms=venue_ms(at_ms) + 120_000)
            case 4:
                yield self._bbo(at_ms, venue_ts_ms=venue_ms(at_ms) - 400_000)
            case 5:
                yield from self._reconnect(at_ms)
            case 6:
                yield a_poll(at_ms, a_status(is_halted=self.rng.random() < 0.4, is_at_oi_cap=self.rng.random() < 0.2))
            case 7:
                use_ratio = Decimal(self.rng.choice(("0.1", "0.97")))
                yield RateUseReported(**stamps(at_ms), use_ratio=use_ratio, limit_name="weight")
            case _:
                yield SpecsReceived(**stamps(at_ms), specs=(self.rng.choice((SPEC, DEARER)),))

    def _ctx(self, at_ms: float) -> AnyEvent:
        if self.rng.random() < 0.4:
            self.oracle += self.rng.randint(-14, 14)
        mid = _px(self.mid) if self.rng.random() < 0.5 else "99"
        mark = _px(self.oracle + self.rng.randint(-4, 4) * (12 if self.rng.random() < 0.05 else 1))
        return a_ctx(at_ms, oracle_px=_px(self.oracle), mark_px=mark, mid_px=mid, generation=self.generation)

    def _bbo(self, at_ms: float, *, half: int = 0, venue_ts_ms: int | None = None) -> AnyEvent:
        self.mid += (self.oracle > self.mid) - (self.oracle < self.mid) if self.rng.random() < 0.3 else 0
        half = half or self.rng.choice((2, 2, 2, 3))
        return a_bbo(
            at_ms, bid_px=_px(self.mid - half), ask_px=_px(self.mid + half), generation=self.generation,
            venue_ts_ms=venue_ts_ms,
        )  # fmt: skip

    def _reconnect(self, at_ms: float) -> Iterator[AnyEvent]:
        yield ConnectionLost(**stamps(at_ms), generation=self.generation, reason="test")
        yield self._bbo(at_ms)  # late: of the connection that is gone
        self.generation += 1
        yield an_opening(at_ms, generation=self.generation)
        self.is_acked = False


def _px(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


Judged = dict[tuple[int, str], tuple[str, float, tuple[str, ...], str]]
"""(seq, side) → origin, edge, gate vector, gates and account-wide controls that blocked."""


def _decided(events: Sequence[AnyEvent], limits: Limits) -> Judged:
    state = an_engine(SPEC, limits=limits)
    return _judged((state.seq + 1, step(state, event)) for event in events)


def _judged(steps: Iterator[tuple[int, list[AnyOutput]]]) -> Judged:
    found: Judged = {}
    names = {*CONTROLS, *(gate.value for gate in GateId)}
    for seq, outputs in steps:
        raised: dict[str, SignalRaised] = {}
        for output in outputs:
            if isinstance(output, SignalRaised):
                raised[output.signal_id] = output
            elif isinstance(output, GatesEvaluated):
                signal = raised[output.signal_id]
                blocked_by = ",".join(name for name in output.blocked_by if name in names)
                vector = tuple(result.status.value for result in output.results)
                found[(seq, signal.side.value)] = (signal.origin, float(signal.raw_edge_bps), vector, blocked_by)
    return found


def _tables(root: Path, events: Sequence[AnyEvent]) -> dict[str, pl.DataFrame]:
    """Decide, project and seal a session as the sidecar does, and read its tables back."""
    state, projector = an_engine(SPEC), Projector((SPEC,))
    config = {"venue": "sim", "limits": msgspec.to_builtins(Limits(), builtin_types=(Decimal,))}
    projector.session_began(START_TS_NS, "test", msgspec.json.encode(config).decode(), 0)
    for event in events:
        outputs = step(state, event)
        projector.feed(state.seq, event, outputs)
    writer = PartWriter(root, venue="sim", session_id=a_session().session_id, config_hash="c0")
    parts: dict[str, list[pl.DataFrame]] = {name: [] for name in SOURCE_TABLES}
    for (table, day), rows in projector.take().items():
        line = writer.seal(table, day, rows)
        writer.announce([line])
        if table in parts:
            parts[table].append(pl.read_parquet(root / line.path, hive_partitioning=False))
    empty = {name: pl.DataFrame(pl.from_arrow(TABLES[name].schema.empty_table())) for name in SOURCE_TABLES}
    return {name: pl.concat(frames) if frames else empty[name] for name, frames in parts.items()}


@dataclass(frozen=True)
class Session:
    """A session as inputs and as the tape of its tables."""

    events: list[AnyEvent]
    tape: Tape


@pytest.fixture(scope="module", params=[1, 2, 3, 4])
def session(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Session:
    events = list(World(random.Random(request.param)).events())
    tables = _tables(tmp_path_factory.mktemp("sweep"), events)
    return Session(events, tape_of(tables, COIN, "s1"))


def _swept(tape: Tape, limits: Limits) -> tuple[Judged, set[tuple[int, str]]]:
    rows = list(sweep(tape, Limits(), [limits]).iter_rows(named=True))
    vectors = {
        (r["seq"], r["side"]): (r["origin"], r["raw_edge_bps"], tuple(r[g.value] for g in GateId), r["blocked_by"])
        for r in rows
    }
    return vectors, {(r["seq"], r["side"]) for r in rows if r["is_uncertain"]}


@pytest.mark.parametrize("name", SETTINGS)
def test_sweep_equals_the_engine_row_by_row(session: Session, name: str) -> None:
    want = _decided(session.events, SETTINGS[name])
    have, uncertain = _swept(session.tape, SETTINGS[name])
    assert sorted(have) == sorted(want), "the same signals"
    assert len(want) > 10, "a session without signals proves nothing"
    known = {key: row for key, row in have.items() if key not in uncertain}
    assert known == {key: row for key, row in want.items() if key not in uncertain}
    assert len(uncertain) <= len(want) // 4
    for key in uncertain:
        assert have[key][:2] == want[key][:2]


def test_sweep_settings_do_differ_from_each_other(session: Session) -> None:
    results = {name: _decided(session.events, limits) for name, limits in SETTINGS.items()}
    recorded = results.pop("as recorded")
    unlike = {name for name, result in results.items() if result != recorded}
    assert len(unlike) >= len(results) - 2, "settings that change nothing compare nothing"


def test_sweep_as_recorded_is_never_uncertain(session: Session) -> None:
    assert not _swept(session.tape, Limits())[1]


def test_sweep_of_several_settings_is_each_of_them_alone(session: Session) -> None:
    settings = list(SETTINGS.values())
    together = sweep(session.tape, Limits(), settings)
    for number, limits in enumerate(settings):
        alone = sweep(session.tape, Limits(), [limits]).drop("setting")
        assert together.filter(pl.col("setting") == number).drop("setting").equals(alone)


def test_sweep_fast_books_that_no_table_holds_make_a_block_uncertain(tmp_path: Path) -> None:
    events = list(World(random.Random(5), has_books=True).events())
    tape = tape_of(_tables(tmp_path, events), COIN, "s1")
    assert tape.has_fast_books
    limits = SETTINGS["confirmation"]
    want, (have, uncertain) = _decided(events, limits), _swept(tape, limits)
    assert sorted(have) == sorted(want)
    assert {k: v for k, v in have.items() if k not in uncertain} == {
        k: v for k, v in want.items() if k not in uncertain
    }


def test_sweep_latch_of_an_operator_blocks_from_then_on(tmp_path: Path) -> None:
    events = list(World(random.Random(6)).events())
    stop = StopRequested(**stamps(SECONDS * 300), command_id=1, reason="drill", operator="tester")
    at = next(i for i, event in enumerate(events) if event.recv_mono_ns > stop.recv_mono_ns)
    events.insert(at, stop)
    tape = tape_of(_tables(tmp_path, events), COIN, "s1")
    have, _ = _swept(tape, SETTINGS["no edge at all"])
    assert {"stop_latch" in row[3] for (seq, _), row in have.items() if seq > at + 1} == {True}
    assert {"stop_latch" in row[3] for (seq, _), row in have.items() if seq <= at} == {False}


@pytest.mark.parametrize(
    "limits",
    [limits_with(paper={"latency_ms": 1}), limits_with(gates={"halt_cooldown_ms": 1}), Limits(venue_lag_ms_max=5)],
)
def test_sweep_refuses_what_columns_can_not_answer(session: Session, limits: Limits) -> None:
    with pytest.raises(NotSweptError, match="hip3 replay --set"):
        sweep(session.tape, Limits(), [limits])


def test_tape_of_a_market_without_rows_has_no_signals() -> None:
    empty = {name: pl.DataFrame(pl.from_arrow(TABLES[name].schema.empty_table())) for name in SOURCE_TABLES}
    assert sweep(tape_of(empty, COIN, "s1"), Limits(), [Limits()]).height == 0


WHOLE = st.integers(-(2**50), 2**50)
POSITIVE = st.integers(1, 2**50)


@given(st.lists(st.tuples(WHOLE, POSITIVE), min_size=1, max_size=20), st.decimals("-9", "9", places=6))
def test_comparisons_are_those_of_fractions(pairs: list[tuple[int, int]], limit: Decimal) -> None:
    # Some ratios are the limit itself: there a float alone would be a guess.
    top, bottom = limit.as_integer_ratio()
    pairs = [*pairs, (top, bottom), (top * 3, bottom * 3)]
    numerator, denominator = (np.array(values, dtype=np.int64) for values in zip(*pairs, strict=True))
    want = [Fraction(n, d) >= Fraction(limit) for n, d in pairs]
    assert reaches(numerator, denominator, limit).tolist() == want
    over = [Fraction(n, d) > 2 * Fraction(limit) for n, d in pairs]
    floats = np.full(len(pairs), float(limit))
    assert exceeds(numerator, denominator, floats, lambda _at: limit, factor=2).tolist() == over


@pytest.mark.parametrize("name", ["as recorded", "mean", "k", "k, learned", "k, least"])
def test_mean_spread_is_rounded_as_the_engine_rounds(session: Session, name: str) -> None:
    limits = SETTINGS[name]
    state = an_engine(SPEC, limits=limits)
    seen: list[Decimal] = []
    for event in session.events:
        before = state.markets[COIN].spread_count
        step(state, event)
        market = state.markets[COIN]
        if market.spread_count > before:
            seen.append(market.spread_reference_px)
    means = learned_of(session.tape, limits.gates).means
    assert [Decimal(int(mean)).scaleb(-12) for mean in means] == seen


# --- a day from its files


DAY = day_of(START_TS_NS)


def _args(root: Path, *words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(["--day", DAY, "--warehouse", str(root), "--json", *words])


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[AnyEvent]]:
    """A warehouse with bronze of a session, and its inputs."""
    root = tmp_path_factory.mktemp("day")
    events = list(World(random.Random(7)).events())
    _tables(root, events)
    landing = read_landing(root, "sim")
    for table in SOURCE_TABLES:
        assert compact(root, table, "sim", DAY, landing.of(DAY, table)).findings.is_clean
    return root, events


def test_command_sweep_counts_what_the_engine_decides(
    judged: tuple[Path, list[AnyEvent]], capsys: pytest.CaptureFixture[str]
) -> None:
    root, events = judged
    words = ("--set", "detector.edge_bps_min=0,2,6.5", "--set", "gates.ctx_age_ms_max=350,8000")
    assert command.run(_args(root, *words)) == 0
    answer = json.loads(capsys.readouterr().out)
    assert len(answer["settings"]) == len(answer["totals"]) == 6
    for setting, row in zip(answer["settings"], answer["totals"], strict=True):
        edge, age = Decimal(setting["detector.edge_bps_min"]), int(setting["gates.ctx_age_ms_max"])
        want = _decided(events, limits_with(detector={"edge_bps_min": edge}, gates={"ctx_age_ms_max": age}))
        passed = sum(not blocked_by for *_, blocked_by in want.values())
        assert (row["signal_count"], row["cold_count"]) == (len(want), 0)
        assert abs(row["passed_count"] - passed) <= row["uncertain_count"]
        assert row["passed_count"] == row["fill_count"] + row["missed_count"] + row["void_count"]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--set", "paper.latency_ms=1,2"), "hip3 replay --set"),
        (("--set", "detector.edge_bps_min"), "expected values as"),
        (("--set", "gates.ctx_age_ms_max=0"), "--set"),
        (("--set", f"detector.edge_bps_min={','.join(map(str, range(300)))}"), "at most 256"),
    ],
)
def test_command_sweep_refuses_wrong_words(tmp_path: Path, words: tuple[str, ...], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        command.run(_args(tmp_path, *words))


def test_command_sweep_without_tables_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="judge the day first"):
        command.run(_args(tmp_path, "--set", "detector.edge_bps_min=1"))
