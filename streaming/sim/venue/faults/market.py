"""Faults of the markets: the listing, the book and the oracle as they shall be instead of as they were generated.

Rule: which markets are struck is worked out once a block; everything between two blocks is a look-up.
"""

from decimal import Decimal

from typing_extensions import override

from streaming.sim.exchange.view import Listed
from streaming.sim.markets.generator import NONE
from streaming.sim.scenario.fault_check import changed_market
from streaming.sim.scenario.universe import Market, Universe
from streaming.sim.venue.faults.board import Fault, FaultBoard
from streaming.sim.venue.hooks import Overrides, Prices, Touch

MARKET_KINDS = ("book", "halt", "delist", "oi_cap", "parameter", "oracle", "thin")


class MarketFaults(Overrides):
    """Answers the world's overrides from the board."""

    def __init__(self, board: FaultBoard, universe: Universe) -> None:
        self._board = board
        self._coins = tuple(universe.by_coin)
        self._active: dict[str, dict[str, list[Fault]]] = {}

    def step(self, now_ms: int) -> None:
        """Work out which markets are struck now."""
        self._active = {}
        if not self._board.has(MARKET_KINDS):
            return
        for fault in self._board.faults():
            if fault.spec.kind in MARKET_KINDS and fault.state(now_ms) == "active":
                for coin in fault.spec.coins or self._coins:
                    self._active.setdefault(coin, {}).setdefault(fault.spec.kind, []).append(fault)

    def coins(self) -> tuple[str, ...]:
        """Return the markets that are struck now."""
        return tuple(self._active)

    @override
    def is_active(self, coin: str) -> bool:
        return coin in self._active

    @override
    def listed(self, listed: Listed, now_ms: int) -> Listed:
        faults = self._active.get(listed.market.coin)
        if not faults:
            return listed
        market = listed.market
        for fault in faults.get("parameter", ()):
            changed = changed_market(market, fault.values)
            market = changed if isinstance(changed, Market) else market
        return Listed(
            market=market,
            is_halted=listed.is_halted or "halt" in faults,
            is_delisted=listed.is_delisted or "delist" in faults,
            is_at_oi_cap=listed.is_at_oi_cap or "oi_cap" in faults,
        )

    @override
    def touch(self, coin: str, touch: Touch, now_ms: int) -> Touch:
        for fault in self._active.get(coin, {}).get("book", ()):
            touch = _shaped(touch, str(fault.values["shape"]))
        return touch

    @override
    def depth_ratio(self, coin: str, now_ms: int) -> float:
        ratio = 1.0
        for fault in self._active.get(coin, {}).get("thin", ()):
            ratio *= float(fault.values["ratio"])
        return ratio

    @override
    def prices(self, coin: str, prices: Prices, now_ms: int) -> Prices:
        for fault in self._active.get(coin, {}).get("oracle", ()):
            prices = _broken(fault, coin, prices, now_ms)
        return prices


def _shaped(touch: Touch, shape: str) -> Touch:
    bid, ask = (touch.bid_px, touch.bid_sz), (touch.ask_px, touch.ask_sz)
    if shape in {"locked", "crossed"} and NONE in touch:
        return touch
    match shape:
        case "empty":
            return Touch(NONE, NONE, NONE, NONE)
        case "no_bids":
            return Touch(NONE, NONE, *ask)
        case "no_asks":
            return Touch(*bid, NONE, NONE)
        case "locked":
            return Touch(*bid, touch.bid_px, touch.ask_sz)
        case _:
            return Touch(touch.ask_px, touch.bid_sz, touch.bid_px, touch.ask_sz)


def _broken(fault: Fault, coin: str, prices: Prices, now_ms: int) -> Prices:
    bps = Decimal(str(fault.values["bps"])) / 10_000
    match fault.values["shape"]:
        case "frozen":
            first: Prices = fault.once(coin, prices)
            return first
        case "steps":
            half_ms = max(1, int(fault.values["period_ms"]) // 2)
            factor = 1 + (bps if (now_ms - fault.begin_ms) // half_ms % 2 == 0 else -bps)
        case "shifted":
            factor = 1 + bps
        case _:
            factor = Decimal(str(fault.values["factor"]))
    return Prices(*(max(1, int(px * factor)) for px in prices))
