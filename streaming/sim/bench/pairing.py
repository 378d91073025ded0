"""Which order answers which tick: by content, never by order of arrival.

Why this module exists: a harness that paired frames by arrival once found a bot faster than an echo. The price of a
tick is its own, and an answer counts only for the tick whose market, side and price it has.

Rule 1: an answer to no tick, or a second one to the same tick, is `wrong`.
Rule 2: a tick that was given up is `lost`; its answer that comes after that is `late`, and no sample.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from streaming.sim.bench.market import Tick
from streaming.sim.bench.statistic import NS_PER_US


class Key(NamedTuple):
    """What a tick and its answer have in common."""

    market: str | int
    """Asset id of an order; coin of a quote that was sent back."""
    is_buy: bool | None
    px: Decimal
    other_px: Decimal | None = None
    """The other side of a quote that was sent back."""


def order_key(tick: Tick) -> Key:
    """Return the key of the order that answers a tick."""
    return Key(tick.asset_id, tick.is_buy, Decimal(tick.px))


def echo_key(tick: Tick) -> Key:
    """Return the key of a tick that is sent back."""
    return Key(tick.coin, None, Decimal(tick.bid_px), Decimal(tick.ask_px))


def key_of(answer: Mapping[str, Any]) -> Key | None:
    """Return the key of a signed request with exactly one order, or of a quote; None for anything else."""
    match answer:
        case {"action": {"type": "order", "orders": [{"a": int(asset_id), "b": bool(is_buy), "p": str(px)}]}}:
            return _key(asset_id, is_buy, px, None)
        case {"channel": "bbo", "data": {"coin": str(coin), "bbo": [{"px": str(bid_px)}, {"px": str(ask_px)}]}}:
            return _key(coin, None, bid_px, ask_px)
        case _:
            return None


class Pairing:
    """Latencies of one lane, and everything that was not one."""

    def __init__(self) -> None:
        """Begin with nothing sent."""
        self.latencies_us: list[float] = []
        self.wrong_count = self.lost_count = self.late_count = 0
        self._open: dict[Key, int] = {}
        self._given_up: set[Key] = set()

    def sent(self, key: Key, stamp_ns: int) -> None:
        """Note that a tick leaves now."""
        self._given_up.discard(key)
        self._open[key] = stamp_ns

    def answered(self, answer: Mapping[str, Any], stamp_ns: int) -> bool:
        """Take an answer; tells whether it is one to a tick that waits for it."""
        key = key_of(answer)
        sent_ns = None if key is None else self._open.pop(key, None)
        if sent_ns is not None:
            self.latencies_us.append((stamp_ns - sent_ns) / NS_PER_US)
            return True
        if key in self._given_up:
            self._given_up.discard(key)
            self.late_count += 1
        else:
            self.wrong_count += 1
        return False

    def gave_up(self, key: Key) -> None:
        """Note that a tick is not waited for any more."""
        if self._open.pop(key, None) is not None:
            self.lost_count += 1
            self._given_up.add(key)

    def counts(self) -> dict[str, int]:
        """Return what was not a sample."""
        return {"wrong": self.wrong_count, "lost": self.lost_count, "late": self.late_count}

    def forget_samples(self) -> None:
        """End the warm-up: what was measured so far is no sample; what went wrong stays."""
        self.latencies_us.clear()


def total(counts: Sequence[Mapping[str, int]], name: str) -> int:
    """Return the sum of one count over lanes."""
    return sum(each[name] for each in counts)


def _key(market: str | int, is_buy: bool | None, px: str, other_px: str | None) -> Key | None:
    try:
        return Key(market, is_buy, Decimal(px), None if other_px is None else Decimal(other_px))
    except InvalidOperation:
        return None
