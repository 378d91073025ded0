"""Websocket subscriptions: what a client asked for, checked and written the venue's way.

Rule 1: an unknown coin, or book parameters out of range, is not answered: the socket dies (`AbortError`).
Rule 2: anything else that is wrong gets the venue's error text with the frame verbatim.
Rule 3: the ack echoes the subscription normalised: defaults added, unknown keys dropped.

Source: hyperliquid-protocol.md, sections 1.1, 1.3 and 1.5.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from streaming.sim.venue.info.requests import is_address
from streaming.sim.venue.market.candles import INTERVALS_MS
from streaming.sim.venue.market.wire import compact

COIN_CHANNELS = frozenset({"bbo", "l2Book", "trades", "activeAssetCtx", "candle"})
USER_CHANNELS = frozenset(
    {"orderUpdates", "userEvents", "userFills", "notification", "webData3", "userFundings"}
    | {"userNonFundingLedgerUpdates", "allDexsClearinghouseState", "spotState"}
)
USER_DEX_CHANNELS = frozenset({"clearinghouseState", "openOrders"})
DEX_CHANNELS = frozenset({"allMids", "assetCtxs"})
GLOBAL_CHANNELS = frozenset({"allDexsAssetCtxs", "fastAssetCtxs"})
UNSERVED_CHANNELS = frozenset(
    {"webData2", "spotAssetCtxs", "twapStates", "userTwapSliceFills", "userTwapHistory", "userHistoricalOrders"}
    | {"outcomeMetaUpdates", "explorerBlock", "explorerTxs"}
)
"""Documented at the real venue, no part of this one."""
_DEX_LENGTH_MAX = 64
"""Beyond this a name is not kept; a shorter unknown one is acked and silent."""
_SIG_FIGS = {None, 2, 3, 4, 5}
_MANTISSAS = {None, 1, 2, 5}


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
    """Type of the subscription; the channel of its frames is `wire_channel`."""
    coin: str = ""
    user: str = ""
    """Lower case."""
    dex: str = ""
    interval: str = ""
    is_fast: bool = False
    sig_figs: int | None = None
    mantissa: int | None = None
    is_aggregated: bool = False

    @property
    def wire_channel(self) -> str:
        """Channel of its frames."""
        return "user" if self.channel == "userEvents" else self.channel


@dataclass(frozen=True, slots=True)
class Wanted:
    """A subscription: its topic, and the object that acks and errors echo."""

    topic: Topic
    echo: dict[str, Any]

    @property
    def text(self) -> str:
        """The echo as JSON."""
        return compact(self.echo)


def wanted(subscription: object, coins: Collection[str]) -> Wanted:
    """Return what a subscription object means.

    Raises:
        AbortError: The coin does not exist, or no book has these parameters.
        UnreadableError: No such type, or a field is missing or wrong.
        UnsupportedError: A stream this venue does not serve, or a dex no venue has.
    """
    if not isinstance(subscription, dict):
        raise UnreadableError
    channel = subscription.get("type")
    if not isinstance(channel, str):
        raise UnreadableError
    if channel in COIN_CHANNELS:
        return _of_coin(channel, subscription, coins)
    if channel in USER_CHANNELS | USER_DEX_CHANNELS:
        return _of_user(channel, subscription)
    if channel == "activeAssetData":
        user, coin = _user(subscription), _coin(subscription, coins)
        return Wanted(Topic(channel, coin, user), {"type": channel, "user": user, "coin": coin})
    if channel in DEX_CHANNELS:
        dex = _dex(subscription)
        return Wanted(
            Topic(channel, dex=dex or ""), {"type": channel} if dex is None else {"type": channel, "dex": dex}
        )
    if channel in GLOBAL_CHANNELS:
        return Wanted(Topic(channel), {"type": channel})
    if channel in UNSERVED_CHANNELS:
        raise UnsupportedError(f"{channel} is not served here")
    raise UnreadableError


def _of_coin(channel: str, subscription: dict[str, Any], coins: Collection[str]) -> Wanted:
    coin = _coin(subscription, coins)
    echo: dict[str, Any] = {"type": channel, "coin": coin}
    if channel == "l2Book":
        return _of_book(subscription, echo)
    if channel == "candle":
        interval = subscription.get("interval")
        if not isinstance(interval, str) or interval not in INTERVALS_MS:
            raise UnreadableError
        return Wanted(Topic(channel, coin, interval=interval), echo | {"interval": interval})
    return Wanted(Topic(channel, coin), echo)


def _of_book(subscription: dict[str, Any], echo: dict[str, Any]) -> Wanted:
    figures, mantissa = subscription.get("nSigFigs"), subscription.get("mantissa")
    fast = subscription.get("fast")
    if not isinstance(fast, bool | None) or not _is_number(figures) or not _is_number(mantissa):
        raise UnreadableError
    if figures not in _SIG_FIGS or mantissa not in _MANTISSAS or (mantissa is not None and figures != 5):
        raise AbortError
    echo |= {"nSigFigs": figures, "mantissa": mantissa, "fast": bool(fast)}
    topic = Topic("l2Book", echo["coin"], is_fast=bool(fast), sig_figs=figures, mantissa=mantissa)
    return Wanted(topic, echo)


def _of_user(channel: str, subscription: dict[str, Any]) -> Wanted:
    user = _user(subscription)
    echo: dict[str, Any] = {"type": channel, "user": user}
    if channel == "userFills":
        flag = subscription.get("aggregateByTime")
        if not isinstance(flag, bool | None):
            raise UnreadableError
        is_aggregated = bool(flag)
        topic = Topic(channel, user=user, is_aggregated=is_aggregated)
        return Wanted(topic, echo | {"aggregateByTime": is_aggregated})
    if channel in USER_DEX_CHANNELS:
        dex = _dex(subscription) or ""
        return Wanted(Topic(channel, user=user, dex=dex), echo | {"dex": dex})
    return Wanted(Topic(channel, user=user), echo)


def _coin(subscription: dict[str, Any], coins: Collection[str]) -> str:
    coin = subscription.get("coin")
    if not isinstance(coin, str):
        raise UnreadableError
    if coin not in coins:
        raise AbortError
    return coin


def _user(subscription: dict[str, Any]) -> str:
    user = subscription.get("user")
    if not isinstance(user, str) or not is_address(user):
        raise UnreadableError
    return user.lower()


def _dex(subscription: dict[str, Any]) -> str | None:
    dex = subscription.get("dex")
    if not isinstance(dex, str | None):
        raise UnreadableError
    if dex is not None and len(dex) > _DEX_LENGTH_MAX:
        raise UnsupportedError("no dex has such a name")
    return dex


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool))
