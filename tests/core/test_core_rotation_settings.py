"""Settings of a rotation: they tighten one market, or the whole document is refused with every reason."""

from decimal import Decimal

import msgspec
import pytest
from core_builders import COIN, START_TS_NS, WARM_MS, a_rotation, a_spec, a_timer, a_warm_engine, feed, of_type
from trading_builders import ACCOUNT, OTHER, Desk, a_desk, blocked_by

from streaming.core.effects import AnyOutput, CommandAnswered, RotationJudged, SignalRaised
from streaming.core.engine import new_state
from streaming.core.events import LimitsReloaded, MarketAllowance
from streaming.core.recovery import Carried
from streaming.core.state import EngineState
from streaming.core.trading.effects import ActionDecided

D = Decimal
T = WARM_MS
HOUR_MS = 3_600_000


def allowing(coin: str = COIN, **settings: object) -> MarketAllowance:
    return MarketAllowance(coin=coin, ntl_max=D(50), **settings)  # type: ignore[arg-type]


def pushed(state: EngineState, *markets: MarketAllowance, version: int = 1, **changes: object) -> tuple[str, ...]:
    """Push a document that replaces the one in force and return the reasons against it."""
    held = state.control.rotation
    fields = {"version": version, "sha256": f"{version:064d}", "replaces_sha256": held.sha256 if held else ""}
    outputs = feed(state, a_rotation(T + version, markets=markets, **(fields | changes)))
    return of_type(outputs, CommandAnswered)[0].reasons


def two_markets() -> EngineState:
    return a_warm_engine(a_spec(), a_spec("xyz:TSLA"))


def test_rotation_threshold_above_the_files_holds_in_its_market_alone() -> None:
    state = two_markets()
    own = state.markets[COIN].threshold_bps
    assert pushed(state, allowing(threshold_bps=own + 4), allowing("xyz:TSLA")) == ()
    assert state.markets[COIN].threshold_bps == own + 4
    assert state.markets["xyz:TSLA"].threshold_bps == own


def test_rotation_threshold_ends_with_the_document_and_with_its_expiry() -> None:
    state = two_markets()
    own = state.markets[COIN].threshold_bps
    pushed(state, allowing(threshold_bps=own + 4))
    pushed(state, allowing("xyz:TSLA", threshold_bps=own + 1), version=2)
    assert (state.markets[COIN].threshold_bps, state.markets["xyz:TSLA"].threshold_bps) == (own, own + 1)
    feed(state, a_timer(HOUR_MS))
    assert state.markets["xyz:TSLA"].threshold_bps == own


def test_rotation_threshold_stays_when_limits_tighten_less() -> None:
    state = two_markets()
    own = state.markets[COIN].threshold_bps
    pushed(state, allowing(threshold_bps=own + 4))
    detector = msgspec.structs.replace(state.limits.detector, edge_bps_min=state.limits.detector.edge_bps_min + 1)
    limits = msgspec.structs.replace(state.limits, detector=detector)
    at = a_timer(T + 9)
    feed(state, LimitsReloaded(recv_mono_ns=at.recv_mono_ns, recv_ts_ns=at.recv_ts_ns, command_id=9, limits=limits,
                               config_hash="c1"))  # fmt: skip
    assert state.markets[COIN].threshold_bps == own + 4
    assert state.markets["xyz:TSLA"].threshold_bps == own + 1


def test_rotation_settings_survive_a_restart() -> None:
    state = two_markets()
    own = state.markets[COIN].threshold_bps
    pushed(state, allowing(threshold_bps=own + 4, is_oracle_led_only=True, hold_ms_max=1_000))
    carried = Carried(control=state.control, positions={}, live=state.live)
    market = new_state(state.session, state.limits, (a_spec(), a_spec("xyz:TSLA")), carried=carried).markets[COIN]
    assert (market.threshold_bps, market.is_oracle_led_only) == (own + 4, True)
    assert market.real_exits is not None
    assert market.real_exits.time_stop_ms == 1_000


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"threshold_bps": D("0.1")}, "threshold_bps 0.1 is below "),
        ({"hold_ms_max": 5_001}, "hold_ms_max 5001 is not above 0 and at most 5000"),
        ({"hold_ms_max": 0}, "hold_ms_max 0 is not above 0 and at most 5000"),
    ],
)
def test_rotation_one_widening_setting_refuses_the_whole_document(settings: dict[str, object], reason: str) -> None:
    state = two_markets()
    pushed(state, allowing(hold_ms_max=2_000))
    before = (state.control.rotation, msgspec.structs.asdict(state.markets[COIN]))
    reasons = pushed(state, allowing(hold_ms_max=1_000), allowing("xyz:TSLA", **settings), version=2)
    assert len(reasons) == 1
    assert reasons[0].startswith(f"market 'xyz:TSLA': {reason}")
    assert (state.control.rotation, msgspec.structs.asdict(state.markets[COIN])) == before


def test_rotation_every_widening_setting_is_named_at_once() -> None:
    state = two_markets()
    wide = {"threshold_bps": D(0), "hold_ms_max": 86_400_000}
    reasons = pushed(state, allowing(**wide), MarketAllowance(coin="xyz:TSLA", ntl_max=D(101), **wide))
    assert len(reasons) == 5
    assert state.control.rotation is None


def test_rotation_that_stands_down_ends_what_was_allowed_and_one_that_does_not_is_refused() -> None:
    state = two_markets()
    pushed(state, allowing())
    assert pushed(state, version=2) == ("it allows no market",)
    assert state.markets[COIN].allowance_ntl == 50
    assert pushed(state, version=2, stands_down=True) == ()
    assert state.markets[COIN].allowance_ntl is None


def _rotate(desk: Desk, *markets: MarketAllowance) -> RotationJudged:
    outputs = desk.feed(
        a_rotation(
            desk.at_ms, account=ACCOUNT, version=2, sha256="b" * 64, replaces_sha256="a" * 64, markets=markets,
            expires_ts_ns=START_TS_NS + 10**6 * HOUR_MS,
        )
    )  # fmt: skip
    return of_type(outputs, RotationJudged)[0]


def test_rotation_a_shorter_hold_closes_a_real_position_sooner() -> None:
    desk = a_desk(COIN, OTHER)
    _rotate(desk, allowing(hold_ms_max=1_500))
    desk.enter()
    assert not of_type(desk.run(1_300), ActionDecided)
    desk.run(400)
    (ticket,) = desk.take_action().orders
    assert (ticket.coin, ticket.is_reduce_only) == (COIN, True)


def _fall(desk: Desk) -> list[AnyOutput]:
    """Let the quote fall away from the oracle: a signal to buy that no oracle update caused."""
    bid_px, ask_px, oracle_px = desk.quotes[COIN]
    desk.quotes[COIN] = (str(D(bid_px) - D("0.3")), str(D(ask_px) - D("0.3")), oracle_px)
    bbo, _ = desk.quote(COIN)
    return desk.feed(bbo)


@pytest.mark.parametrize("is_asked", [True, False])
def test_rotation_oracle_led_only_refuses_a_quote_led_cross_and_names_it(is_asked: bool) -> None:
    desk = a_desk(COIN, OTHER)
    assert _rotate(desk, allowing(is_oracle_led_only=is_asked)).is_accepted
    outputs = _fall(desk)
    assert [signal.origin for signal in of_type(outputs, SignalRaised)] == ["quote_led"]
    assert len(of_type(outputs, ActionDecided)) == (not is_asked)
    assert blocked_by(outputs) == (("quote_led",) if is_asked else ())


def test_rotation_oracle_led_only_enters_an_oracle_led_cross() -> None:
    desk = a_desk(COIN, OTHER)
    _rotate(desk, allowing(is_oracle_led_only=True))
    assert len(of_type(desk.cross(), ActionDecided)) == 1
