"""Websocket requests: what a client asked for, checked and written the venue's way.

Rule 1: an unknown coin, or book parameters out of range, is not answered: the socket dies (`AbortError`).
Rule 2: anything else that is wrong gets the venue's error text with the frame verbatim.
"""

from dataclasses import dataclass
from typing import Any

from streaming.sim.venue.info import is_address
from streaming.sim.venue.wire import compact

MARKET_CHANNELS = frozenset({"bbo", "l2Book", "trades", "activeAssetCtx"})
USER_CHANNELS = frozenset({"orderUpdates", "userEvents", "userFills", "notification"})
_SIG_FIGS = {None, 2, 3, 4, 5}


class AbortError(Exception):
    """The venue closes this socket without a word."""


class UnreadableError(Exception):
    """No valid websocket request."""


class UnsupportedError(Exception):
    """Documented at the real venue, not served by this one."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A stream as the venue knows it."""

    channel: str
    coin: str = ""
    is_fast: bool = False
    user: str = ""
    extra: str = ""
    """Canonical JSON of parameters that do not select data here but make another subscription (`dex`)."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A subscription: its topic, and the object that acks and errors echo."""

    topic: Topic
    echo: dict[str, Any]

    @property
    def text(self) -> str:
        """The echo as JSON."""
        return compact(self.echo)


def wanted(subscription: object, coins: frozenset[str]) -> Wanted:
    """Return what a subscription object means.

    Raises:
        AbortError: The coin does not exist.
        UnreadableError: No such type, or a field is missing or wrong.
        UnsupportedError: A parameter this venue does not serve.
    """
    if not isinstance(subscription, dict):
        raise UnreadableError
    channel = subscription.get("type")
    if not isinstance(channel, str):
        raise UnreadableError
    if channel in MARKET_CHANNELS:
        return _of_market(channel, subscription, coins)
    if channel in USER_CHANNELS:
        return _of_user(channel, subscription)
    if channel == "allMids":
        dex = subscription.get("dex")
        if dex is not None and not isinstance(dex, str):
            raise UnreadableError
        echo = {"type": channel} if dex is None else {"type": channel, "dex": dex}
        return Wanted(Topic("allMids", extra=dex or ""), echo)
    raise UnreadableError


def _of_market(channel: str, subscription: dict[str, Any], coins: frozenset[str]) -> Wanted:
    coin = subscription.get("coin")
    if not isinstance(coin, str):
        raise UnreadableError
    if coin not in coins:
        raise AbortError
    echo: dict[str, Any] = {"type": channel, "coin": coin}
    if channel != "l2Book":
        return Wanted(Topic(channel, coin), echo)
    figures, mantissa = subscription.get("nSigFigs"), subscription.get("mantissa")
    fast = subscription.get("fast")
    if not isinstance(fast, bool | None) or not _is_number(figures) or not _is_number(mantissa):
        raise UnreadableError
    if figures not in _SIG_FIGS or (mantissa is not None and figures != 5):
        raise AbortError
    if figures is not None:
        raise UnsupportedError("l2Book is served without nSigFigs here")
    echo |= {"nSigFigs": None, "mantissa": None, "fast": bool(fast)}
    return Wanted(Topic(channel, coin, is_fast=bool(fast)), echo)


def _of_user(channel: str, subscription: dict[str, Any]) -> Wanted:
    user = subscription.get("user")
    if not isinstance(user, str) or not is_address(user):
        raise UnreadableError
    echo: dict[str, Any] = {"type": channel, "user": user}
    if channel == "userFills":
        echo["aggregateByTime"] = subscription.get("aggregateByTime") is True
    return Wanted(Topic(channel, user=user.lower()), echo)


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool))
