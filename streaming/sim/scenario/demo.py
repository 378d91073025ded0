"""The scenarios `demo`, `drill` and `one`: a dex `xyz` with the facts of the real one, two validator markets.

Rule 1: names, order, size decimals, leverage, margin and growth modes are those of the real dex `xyz` (2026-07), so an
asset id here is the asset id there. Size decimals of indices 6 to 13 and leverage of 8 to 13 are inferred.
Rule 2: price, spread, depth, volume and open interest are rounded medians of public daily figures (2026-04 to 08).
"""

from dataclasses import replace

import msgspec

from streaming.sim.scenario.characters import Character, Label
from streaming.sim.scenario.scenario import Scenario
from streaming.sim.scenario.universe import Dex, Market, Session, Universe

_COLUMNS = ("coin", "sz_decimals", "leverage_max", "margin_mode", "is_growth_mode", "session", "px", "spread_bps",
            "touch_usd", "depth_usd", "vol_bps", "oi_usd", "volume_usd", "oi_cap_usd")  # fmt: skip

# fmt: off
_MARKETS = (
    # coin         sz lev mode    growth  session           px   spread  touch    depth   vol     oi    volume  cap
    ("xyz:XYZ100", 4, 30, "cross", True, Session.INDEX, 29706.0, 0.35, 180e3, 10900e3, 0.35, 240e6, 278e6, 750e6),
    ("xyz:TSLA", 3, 20, "cross", True, Session.EQUITY, 325.75, 0.80, 18e3, 317e3, 0.80, 34e6, 22e6, 150e6),
    ("xyz:NVDA", 3, 20, "cross", True, Session.EQUITY, 216.25, 0.52, 35e3, 800e3, 0.65, 154e6, 41e6, 400e6),
    ("xyz:GOLD", 4, 25, "cross", False, Session.METAL, 4073.0, 0.25, 120e3, 2390e3, 0.30, 168e6, 37e6, 500e6),
    ("xyz:HOOD", 3, 10, "noCross", True, Session.EQUITY, 93.389, 2.40, 7e3, 146e3, 0.90, 16e6, 8e6, 75e6),
    ("xyz:INTC", 2, 10, "noCross", True, Session.EQUITY, 98.222, 1.80, 15e3, 208e3, 0.85, 41e6, 41e6, 150e6),
    ("xyz:PLTR", 3, 10, "noCross", True, Session.EQUITY, 159.72, 2.30, 9e3, 179e3, 0.80, 5e6, 5e6, 50e6),
    ("xyz:COIN", 3, 10, "noCross", True, Session.EQUITY, 150.61, 2.45, 6e3, 101e3, 0.95, 10e6, 6e6, 50e6),
    ("xyz:META", 3, 20, "cross", True, Session.EQUITY, 589.29, 1.60, 16e3, 233e3, 0.55, 39e6, 7e6, 150e6),
    ("xyz:AAPL", 3, 20, "cross", True, Session.EQUITY, 310.23, 1.20, 17e3, 262e3, 0.45, 48e6, 6e6, 150e6),
    ("xyz:MSFT", 3, 20, "cross", True, Session.EQUITY, 490.19, 1.65, 18e3, 334e3, 0.45, 61e6, 8e6, 200e6),
    ("xyz:ORCL", 3, 10, "noCross", True, Session.EQUITY, 145.09, 2.50, 9e3, 218e3, 0.75, 31e6, 8e6, 100e6),
    ("xyz:GOOGL", 3, 20, "cross", True, Session.EQUITY, 379.26, 0.95, 18e3, 309e3, 0.50, 102e6, 12e6, 300e6),
    ("xyz:AMZN", 3, 20, "cross", True, Session.EQUITY, 278.02, 1.70, 13e3, 269e3, 0.55, 19e6, 6e6, 100e6),
    ("BTC", 5, 40, "cross", False, Session.CRYPTO, 84143.0, 0.15, 900e3, 9000e3, 0.45, 3000e6, 4000e6, 10000e6),
    ("ETH", 4, 25, "cross", False, Session.CRYPTO, 2986.3, 0.40, 500e3, 6000e3, 0.55, 1500e6, 1800e6, 5000e6),
)
# fmt: on


def _stale(rate: float, delay_s: float, scale: float = 5.0, slow: float = 0.85) -> Character:
    return Character(
        label=Label.STALE_QUOTE,
        is_always_open=True,
        jump_rate_h=rate,
        jump_bps_min=8.0,
        jump_bps_scale=scale,
        bbo_rate_s=0.85,
        slow_ratio=slow,
        slow_delay_s=delay_s,
    )


def _basis(amplitude_bps: float) -> Character:
    return Character(
        label=Label.STANDING_BASIS,
        is_always_open=True,
        jump_rate_h=1.0,
        jump_bps_min=5.0,
        jump_bps_scale=3.0,
        bbo_rate_s=0.85,
        basis_bps=amplitude_bps,
    )


def _frozen(freeze_s: float) -> Character:
    return Character(
        label=Label.FROZEN_QUOTE,
        is_always_open=True,
        jump_rate_h=1.0,
        jump_bps_min=5.0,
        jump_bps_scale=3.0,
        bbo_rate_s=3.3,
        freeze_s=freeze_s,
    )


def _lagging(rate: float = 2.0, oracle_noise_bps: float = 0.3) -> Character:
    return Character(
        label=Label.LAGGING_ORACLE,
        is_always_open=True,
        jump_rate_h=rate,
        jump_bps_min=5.0,
        jump_bps_scale=3.0,
        bbo_rate_s=1.12,
        maker="underlying",
        oracle_noise_bps=oracle_noise_bps,
    )


_CHARACTERS = {
    "xyz:XYZ100": _lagging(),
    "xyz:TSLA": _stale(rate=4.0, delay_s=2.2),
    "xyz:NVDA": _stale(rate=5.0, delay_s=2.0),
    "xyz:GOLD": _lagging(rate=1.0),
    "xyz:HOOD": _stale(rate=3.0, delay_s=2.4, scale=4.0, slow=0.7),
    "xyz:INTC": _stale(rate=4.0, delay_s=2.6, scale=6.0),
    "xyz:PLTR": _stale(rate=3.5, delay_s=2.4, scale=6.0),
    "xyz:COIN": _basis(amplitude_bps=16.0),
    "xyz:META": _frozen(freeze_s=45.0),
    "xyz:AAPL": _lagging(rate=3.0),
    "xyz:MSFT": _stale(rate=3.5, delay_s=2.2),
    "xyz:ORCL": _basis(amplitude_bps=12.0),
    "xyz:GOOGL": _lagging(rate=3.0, oracle_noise_bps=0.5),
    "xyz:AMZN": _frozen(freeze_s=35.0),
    "BTC": _lagging(),
    "ETH": _lagging(),
}

DEMO = Scenario(
    name="demo",
    universe=Universe(
        dexes=(Dex(name="", full_name="validator"), Dex(name="xyz", full_name="XYZ")),
        markets=tuple(msgspec.convert(dict(zip(_COLUMNS, row, strict=True)), Market) for row in _MARKETS),
    ),
    characters=_CHARACTERS,
)


def _drilled(character: Character) -> Character:
    # The oracle jumps far with nearly every update, on a Sunday too, instead of every quarter of an hour, and makers
    # follow before the next one: a day's opportunities in a minute. Nothing about it resembles a real market, and
    # nothing has to: it is there to make orders. Five markets give a fill or two a second; hardly any trade loses, so
    # that a row of losses does not pause the drill. More jumps, or larger ones, only trip gate 2 more often.
    if character.label is not Label.STALE_QUOTE:
        return character
    return msgspec.structs.replace(
        character,
        jump_rate_h=2_400.0,
        jump_bps_min=12.0,
        jump_bps_scale=2.0,
        bbo_rate_s=3.0,
        slow_ratio=1.0,
        slow_delay_s=1.3,
    )


DRILL = replace(DEMO, name="drill", characters={coin: _drilled(item) for coin, item in _CHARACTERS.items()})

ONE = Scenario(
    name="one",
    universe=Universe(dexes=DEMO.universe.dexes, markets=(DEMO.universe.by_coin["xyz:NVDA"],)),
    characters={"xyz:NVDA": _CHARACTERS["xyz:NVDA"]},
)
"""One market of the demo, where days are needed and hardly anything in them."""
