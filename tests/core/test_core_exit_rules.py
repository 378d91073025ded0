from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.core.limits import ExitLimits
from streaming.core.market import Side
from streaming.core.trading.exit_rules import EXIT_REASONS, ExitBaseline, ExitTrack, ExitView, exit_reason
from streaming.core.units import NS_PER_MS

T0 = 5_000 * NS_PER_MS
FEE_BPS = Decimal(9)
LIMITS = ExitLimits(
    quick_profit_bps=Decimal(3), trailing_start_bps=Decimal(8), trailing_retrace_bps=Decimal(4)
)  # stop 5 s, hold 300 ms, profit 3, evaporated 1, oracle -5, mark -25, trailing from 8 gives back 4
D = Decimal


def px(bps: str | int) -> Decimal:
    """A price so many bps of the entry price (100) above it."""
    return 100 + D(bps) / 100


def a_baseline(side: Side = Side.BUY, *, oracle: str = "25", mark: str = "25") -> ExitBaseline:
    """Bought at 100 with the oracle 25 bps above; a short is its mirror."""
    sign = 1 if side is Side.BUY else -1
    return ExitBaseline(
        side=side,
        entry_px=D(100),
        entry_mono_ns=T0,
        entry_oracle_px=px(sign * D(oracle)),
        entry_mark_px=px(sign * D(mark)),
        entry_edge_bps=D(25),
    )


def a_view(
    at_ms: int = 1_000,
    *,
    bid: str | None = "-4",
    ask: str | None = "0",
    oracle: str | None = "25",
    mark: str | None = "25",
) -> ExitView:
    """A second after the entry, nothing moved: held. Prices in bps of the entry price above it."""
    bid_px, ask_px, oracle_px, mark_px = (None if bps is None else px(bps) for bps in (bid, ask, oracle, mark))
    return ExitView(
        bid_px=bid_px, ask_px=ask_px, oracle_px=oracle_px, mark_px=mark_px, now_mono_ns=T0 + at_ms * NS_PER_MS
    )


def mirrored(view: ExitView) -> ExitView:
    """Every price as far below the entry price as it was above it."""
    bid, ask, oracle, mark = (
        None if value is None else 200 - value for value in (view.ask_px, view.bid_px, view.oracle_px, view.mark_px)
    )
    return ExitView(bid_px=bid, ask_px=ask, oracle_px=oracle, mark_px=mark, now_mono_ns=view.now_mono_ns)


def reason_of(
    view: ExitView,
    *,
    baseline: ExitBaseline | None = None,
    track: ExitTrack | None = None,
    limits: ExitLimits = LIMITS,
) -> str:
    return exit_reason(baseline or a_baseline(), track or ExitTrack(), view, limits, FEE_BPS)


# One view per reason in which it alone holds, and one just short of it.
ONLY = {
    "time_stop": (a_view(5_000), a_view(4_999)),
    "oracle_reversed": (a_view(oracle="20"), a_view(oracle="20.01")),
    "mark_regression": (a_view(mark="0"), a_view(mark="0.01")),
    "quick_profit": (a_view(bid="12", ask="13"), a_view(bid="11.99", ask="13")),
    "trailing_stop": (a_view(bid="-10"), a_view(bid="13.01", ask="14")),
    "oracle_caught_up": (a_view(oracle="0"), a_view(oracle="0.01")),
    "edge_evaporated": (a_view(bid="24", ask="26"), a_view(bid="23.99", ask="26")),
}
LOOSE = msgspec.structs.replace(  # every rule that has a limit is as good as off
    LIMITS,
    time_stop_ms=86_400_000,
    quick_profit_bps=D(10_000),
    edge_evaporated_bps=D(-10_000),
    oracle_reversed_bps=D(10_000),
    mark_regression_bps=D(10_000),
    trailing_start_bps=D(10_000),
)
OWN_LIMITS = {
    "time_stop": ("time_stop_ms",),
    "oracle_reversed": ("oracle_reversed_bps",),
    "mark_regression": ("mark_regression_bps",),
    "quick_profit": ("quick_profit_bps",),
    "trailing_stop": ("trailing_start_bps",),
    "oracle_caught_up": (),
    "edge_evaporated": ("edge_evaporated_bps",),
}


def track_for(reason: str) -> ExitTrack:
    """The trailing stop needs a best gain behind it: 8 bps after the fee."""
    return ExitTrack(best_gain_bps=D(8)) if reason == "trailing_stop" else ExitTrack()


def with_rules(*reasons: str) -> ExitLimits:
    """Only these rules have their limits; the others are as good as off (the caught-up oracle has none to loosen)."""
    return msgspec.structs.replace(
        LOOSE, **{name: getattr(LIMITS, name) for reason in reasons for name in OWN_LIMITS[reason]}
    )


def test_position_is_held_while_nothing_moved() -> None:
    assert reason_of(a_view()) == ""


@pytest.mark.parametrize("reason", EXIT_REASONS)
@pytest.mark.parametrize("side", list(Side))
def test_each_rule_fires_at_its_limit_and_not_before(reason: str, side: Side) -> None:
    holds, short_of_it = ONLY[reason]
    if side is Side.SELL:
        holds, short_of_it = mirrored(holds), mirrored(short_of_it)
    limits = with_rules(reason)

    assert reason_of(holds, baseline=a_baseline(side), track=track_for(reason), limits=limits) == reason
    assert reason_of(short_of_it, baseline=a_baseline(side), track=track_for(reason), limits=limits) == ""


@pytest.mark.parametrize("reason", EXIT_REASONS)
def test_p10_no_rule_depends_on_another_being_enabled(reason: str) -> None:
    # Predecessor P10: mark_regression off disabled the oracle exit.
    holds, _ = ONLY[reason]
    for disabled in set(EXIT_REASONS) - {reason}:
        limits = with_rules(*(set(EXIT_REASONS) - {disabled}))
        found = reason_of(holds, track=track_for(reason), limits=limits)
        # An earlier rule may name it first; none may hide it.
        assert found in EXIT_REASONS[: EXIT_REASONS.index(reason) + 1]
    assert reason_of(holds, track=track_for(reason), limits=with_rules(reason)) == reason


def test_p10_oracle_exit_works_without_any_mark_price() -> None:
    assert reason_of(a_view(oracle="19", mark=None)) == "oracle_reversed"


def test_p7_moves_before_the_entry_close_nothing() -> None:
    # Predecessor P7: counters of the process made a fresh position look reversed.
    falling = [a_view(oracle=str(bps), mark=str(bps)) for bps in (60, 50, 40, 30, 25)]
    earlier, track = a_baseline(oracle="60", mark="60"), ExitTrack()
    assert [exit_reason(earlier, track, view, LIMITS, FEE_BPS) for view in falling][-1] == "oracle_reversed"

    fresh = a_baseline(oracle="25", mark="25")
    assert reason_of(falling[-1], baseline=fresh) == ""


def test_p8_time_stop_counts_from_the_first_fill_whatever_happens_in_between() -> None:
    # Predecessor P8: the resync every 60 s reset the entry time, so that the time stop never fired.
    baseline, track, limits = a_baseline(), ExitTrack(), msgspec.structs.replace(LIMITS, time_stop_ms=90_000)
    reasons = []
    for at_ms in range(0, 91_000, 1_000):
        baseline = msgspec.msgpack.decode(msgspec.msgpack.encode(baseline), type=ExitBaseline)
        reasons.append(exit_reason(baseline, track, a_view(at_ms), limits, FEE_BPS))

    assert reasons == [""] * 90 + ["time_stop"]
    with pytest.raises(AttributeError):
        baseline.entry_mono_ns = 0  # type: ignore[misc]


@pytest.mark.parametrize("edge_bps", ["13", "25", "26", "80"])
@pytest.mark.parametrize("spread_bps", ["1", "25", "200"])
def test_s7_no_exit_is_already_true_because_of_the_entry(edge_bps: str, spread_bps: str) -> None:
    # Predecessor, section 7: the exit test at 25 bps from the oracle held at once for an entry at 25 bps.
    view = a_view(1_000, bid=f"-{spread_bps}", ask="0", oracle=edge_bps, mark=edge_bps)
    assert reason_of(view, baseline=a_baseline(oracle=edge_bps, mark=edge_bps)) == ""


@pytest.mark.parametrize("reason", EXIT_REASONS[1:])
def test_before_the_least_hold_only_what_says_that_we_were_wrong_closes(reason: str) -> None:
    view = msgspec.structs.replace(ONLY[reason][0], now_mono_ns=T0 + 300 * NS_PER_MS - 1)
    expected = reason if reason in ("oracle_reversed", "mark_regression") else ""
    assert reason_of(view, track=track_for(reason), limits=with_rules(reason)) == expected


def test_time_stop_shorter_than_the_least_hold_closes() -> None:
    assert reason_of(a_view(200), limits=msgspec.structs.replace(LIMITS, time_stop_ms=200)) == "time_stop"


@pytest.mark.parametrize("reason", EXIT_REASONS[3:])
def test_after_the_least_hold_profits_and_vanished_edges_close(reason: str) -> None:
    view = msgspec.structs.replace(ONLY[reason][0], now_mono_ns=T0 + 300 * NS_PER_MS)
    assert reason_of(view, track=track_for(reason), limits=with_rules(reason)) == reason


def test_everything_at_once_is_named_by_the_first_of_the_documented_order() -> None:
    assert EXIT_REASONS == (
        "time_stop",
        "oracle_reversed",
        "mark_regression",
        "quick_profit",
        "trailing_stop",
        "oracle_caught_up",
        "edge_evaporated",
    )
    view, track = a_view(5_000, bid="12", ask="13", oracle="-1", mark="-1"), ExitTrack(best_gain_bps=D(8))
    limits, found = LIMITS, []
    for _ in EXIT_REASONS:
        found.append(reason_of(view, track=track, limits=limits))
        off = OWN_LIMITS[found[-1]]
        limits = msgspec.structs.replace(limits, **{name: getattr(LOOSE, name) for name in off})
    # The caught-up oracle has no limit to loosen: it stays the last that is found.
    assert found == [*EXIT_REASONS[:4], "trailing_stop", "oracle_caught_up", "oracle_caught_up"]


@pytest.mark.parametrize("side", list(Side))
def test_position_of_which_nothing_is_known_still_ends_by_time(side: Side) -> None:
    baseline = msgspec.structs.replace(a_baseline(side), entry_oracle_px=None, entry_mark_px=None, entry_edge_bps=None)
    blind = {"bid": None, "ask": None, "oracle": None, "mark": None}

    assert reason_of(a_view(4_999, **blind), baseline=baseline) == ""
    assert reason_of(a_view(5_000, **blind), baseline=baseline) == "time_stop"


@pytest.mark.parametrize("missing", ["bid", "oracle", "mark"])
def test_missing_input_silences_its_rules_and_no_other(missing: str) -> None:
    needs = {
        "bid": {"quick_profit", "trailing_stop", "edge_evaporated"},
        "oracle": {"oracle_reversed", "oracle_caught_up", "edge_evaporated"},
        "mark": {"mark_regression"},
    }[missing]
    for reason in EXIT_REASONS:
        view = msgspec.structs.replace(ONLY[reason][0], **{f"{missing}_px": None})
        found = reason_of(view, track=track_for(reason), limits=with_rules(reason))
        assert found == ("" if reason in needs else reason)


def test_unknown_entry_prices_silence_only_what_compares_with_them() -> None:
    baseline = msgspec.structs.replace(a_baseline(), entry_oracle_px=None, entry_mark_px=None)
    for reason in EXIT_REASONS:
        found = reason_of(ONLY[reason][0], baseline=baseline, track=track_for(reason), limits=with_rules(reason))
        assert found == ("" if reason in ("oracle_reversed", "mark_regression") else reason)


def test_monotonic_time_behind_the_entry_is_a_new_start_of_the_machine_and_ends_the_position() -> None:
    assert reason_of(a_view(-1)) == "time_stop"


def test_gain_is_what_the_exit_side_pays_after_the_exit_fee() -> None:
    track = ExitTrack()
    reason_of(a_view(bid="12", ask="90"), track=track)
    assert (track.gain_bps, track.best_gain_bps) == (D(3), D(3))

    reason_of(a_view(bid="-4"), track=track)
    assert (track.gain_bps, track.best_gain_bps) == (D(-13), D(3))

    reason_of(a_view(bid=None), track=track)
    assert (track.gain_bps, track.best_gain_bps) == (None, D(3))


def test_best_gain_is_seen_during_the_least_hold_too() -> None:
    track, limits = ExitTrack(), with_rules("trailing_stop")
    assert reason_of(a_view(100, bid="17", ask="18"), track=track, limits=limits) == ""
    assert reason_of(a_view(300, bid="13.01", ask="18"), track=track, limits=limits) == ""
    assert reason_of(a_view(301, bid="13", ask="18"), track=track, limits=limits) == "trailing_stop"


def test_trailing_stop_is_not_active_before_its_start() -> None:
    track = ExitTrack(best_gain_bps=D("7.99"))
    assert reason_of(a_view(bid="-10"), track=track, limits=with_rules("trailing_stop")) == ""


def test_gain_has_the_precision_of_the_tables_and_survives_a_snapshot() -> None:
    track = ExitTrack()
    reason_of(a_view(bid="17.0000006", ask="18"), track=track)
    assert str(track.best_gain_bps) == "8.000001"
    restored = msgspec.msgpack.decode(msgspec.msgpack.encode(track), type=ExitTrack)
    assert restored == track


moves_bps = st.one_of(st.none(), st.decimals(-60, 60, places=2).map(str))
views = st.lists(
    st.tuples(st.integers(-10, 6_000), moves_bps, moves_bps, moves_bps, moves_bps), min_size=1, max_size=12
)


@given(views=views)
def test_short_decides_as_the_mirrored_long(views: list) -> None:
    long, short = ExitTrack(), ExitTrack()
    for at_ms, bid, ask, oracle, mark in views:
        view = a_view(at_ms, bid=bid, ask=ask, oracle=oracle, mark=mark)
        reason = exit_reason(a_baseline(Side.BUY), long, view, LIMITS, FEE_BPS)
        assert exit_reason(a_baseline(Side.SELL), short, mirrored(view), LIMITS, FEE_BPS) == reason
        assert short == long


@given(views=views)
def test_every_position_ends_and_the_reason_is_the_first_that_holds_alone(views: list) -> None:
    track = ExitTrack()
    for at_ms, bid, ask, oracle, mark in views:
        view = a_view(at_ms, bid=bid, ask=ask, oracle=oracle, mark=mark)
        best_bps = track.best_gain_bps
        alone = []
        for reason in EXIT_REASONS:
            found = reason_of(view, track=ExitTrack(best_gain_bps=best_bps), limits=with_rules(reason))
            alone += [reason] if found == reason else []
        found = reason_of(view, track=track)
        assert found == next(iter(alone), "")
        assert found == "time_stop" or 0 <= at_ms < 5_000
