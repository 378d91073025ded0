"""Makes an account flat over HTTP: cancels what rests, closes what is open, reduce-only.

Why this module exists: it needs nothing of the sidecar but the account's address: no journal, no websocket, no state of
its own but a nonce. What is open is read from the venue each time, so an order whose outcome is unknown is no problem:
the next round sees what became of it.

Rule 1: every order is reduce-only and IOC; nothing here can open or turn a position.
Rule 2: the limit is the mark price and a slippage that doubles with every attempt up to its bound; an IOC takes the
touch first, the limit is the worst that is accepted. The book is no reference: it may be empty or somebody's trap.
Rule 3: nothing is sent twice; every round signs anew what the venue says is left.
Rule 4: a market or a dex that can not be closed holds back no other one: every close is an action of its own, since one
error answers a whole batch (F-23); a dex that does not answer is left out of the round, and an action without an answer
ends it only if no other one was answered.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from decimal import Decimal
from typing import TypeVar

import msgspec

from streaming.core.errors import NotSent, VenueError
from streaming.core.market import Side
from streaming.core.rounding import floor_sz, round_px_toward_safe
from streaming.core.trading.cloids import watchdog_cloid
from streaming.core.trading.model import ActionStatus, Tif, VenuePosition
from streaming.core.trading.nonce import NonceState, next_nonce, raise_floor
from streaming.core.units import BPS, NS_PER_MS, ZERO
from streaming.hyperliquid.account_history import OpenOrder
from streaming.hyperliquid.actions import (
    ITEM_COUNT_MAX,
    Action,
    CancelItem,
    OrderItem,
    cancel_action,
    order_action,
    order_item,
    signed_body,
)
from streaming.hyperliquid.answers import answer_of_body
from streaming.hyperliquid.signing import Signer
from streaming.shell.clock import Clock
from streaming.shell.execution.exchange_client import ExchangeClient
from streaming.shell.execution.nonce_mark import NonceMark
from streaming.shell.info.rest import InfoClient

SLIPPAGE_BPS_START = Decimal(50)
EXPIRY_MS = 10_000

_ASSET_ID_BASE = 100_000
_UNIVERSE_COUNT_MAX = 10_000

T = TypeVar("T")


class Exposure(msgspec.Struct, frozen=True, kw_only=True):
    """What the venue says is open."""

    positions: tuple[VenuePosition, ...]
    orders: tuple[OpenOrder, ...]
    failures: tuple[str, ...] = ()
    """Dexes that did not answer, with why: what is open there is not known."""

    @property
    def is_flat(self) -> bool:
        """Whether nothing is left to do; nobody knows while a dex does not answer."""
        return not self.coins and not self.failures

    @property
    def texts(self) -> tuple[str, ...]:
        """Positions for people."""
        return tuple(f"{position.coin} {position.sz}" for position in self.positions)

    @property
    def coins(self) -> frozenset[str]:
        """Every market of it."""
        return frozenset([position.coin for position in self.positions] + [order.coin for order in self.orders])


class _Market(msgspec.Struct, frozen=True):
    asset_id: int
    sz_decimals: int
    mark_px: Decimal


async def read_exposure(
    info: InfoClient, account: str, dexes: Sequence[str], exit_only_coins: tuple[str, ...]
) -> Exposure:
    """Ask the venue what an account has open that is to be closed.

    Args:
        info: Reads the venue.
        account: Master address.
        dexes: Where everything is.
        exit_only_coins: What is beside that: on another dex nothing else is the sidecar's.

    Raises:
        VenueError: No dex answered.
    """
    others = {_dex_of(coin) for coin in exit_only_coins} - set(dexes)
    found, failures = await _of_each((*dexes, *sorted(others)), lambda dex: _open_on(info, account, dex))
    positions: list[VenuePosition] = []
    orders: list[OpenOrder] = []
    for dex, (held, resting) in found.items():
        positions += [each for each in held if dex not in others or each.coin in exit_only_coins]
        orders += [each for each in resting if dex not in others or each.coin in exit_only_coins]
    return Exposure(positions=tuple(positions), orders=tuple(orders), failures=failures)


async def _open_on(info: InfoClient, account: str, dex: str) -> tuple[Sequence[VenuePosition], Sequence[OpenOrder]]:
    held = (await info.clearinghouse_state(account, dex, is_essential=True)).positions
    return held, await info.open_orders(account, dex, is_essential=True)


async def _of_each(dexes: Iterable[str], ask: Callable[[str], Awaitable[T]]) -> tuple[dict[str, T], tuple[str, ...]]:
    """Ask about every dex; returns answers and failures, and raises the first of them if nobody answers."""
    found: dict[str, T] = {}
    failures: dict[str, VenueError] = {}
    for dex in dexes:
        try:
            found[dex] = await ask(dex)
        except VenueError as error:
            failures[dex] = error
    if failures and not found:
        raise next(iter(failures.values()))
    return found, tuple(f"dex {dex[:40]!a}: {error}" for dex, error in failures.items())


class Flattener:
    """Closes what one account holds on some dexes."""

    def __init__(
        self,
        *,
        info: InfoClient,
        exchange: ExchangeClient,
        signer: Signer,
        mark: NonceMark,
        account: str,
        dexes: Sequence[str],
        clock: Clock,
        slippage_bps_max: Decimal,
    ) -> None:
        """Send nothing before `reduce`.

        Args:
            info: Reads the venue.
            exchange: Takes the signed bodies.
            signer: An agent of the account, the watchdog's own.
            mark: Its nonces.
            account: Master address.
            dexes: Where everything is closed.
            clock: Nonces and deadlines.
            slippage_bps_max: Furthest from the mark that a close may be filled.
        """
        self._info = info
        self._exchange = exchange
        self._signer = signer
        self._mark = mark
        self._account = account
        self._dexes = tuple(dexes)
        self._clock = clock
        self._slippage_bps_max = slippage_bps_max
        self._nonces = NonceState()
        raise_floor(self._nonces, mark.floor)
        self._dex_indexes: dict[str, int] = {}

    async def read(self, exit_only_coins: tuple[str, ...] = ()) -> Exposure:
        """Ask the venue what is open; see `read_exposure`."""
        return await read_exposure(self._info, self._account, self._dexes, exit_only_coins)

    async def reduce(self, exposure: Exposure, attempt: int) -> tuple[str, ...]:
        """Cancel and close once; returns what the venue said, a text an order.

        Args:
            exposure: Of `read`.
            attempt: Counts from 0; widens the slippage.

        Raises:
            VenueError: Nothing was answered; the next round finds out what the venue did.
            StoreError: The nonce mark could not be kept.
        """
        of_dex, failures = await _of_each(sorted({_dex_of(coin) for coin in exposure.coins}), self._markets)
        markets = {coin: market for found in of_dex.values() for coin, market in found.items()}
        said: list[str] = []
        unanswered: list[VenueError] = []

        async def ask(action: Action, item_count: int, nonce: int) -> tuple[str, ...]:
            try:
                return await self._send(action, item_count, nonce)
            except VenueError as error:
                unanswered.append(error)
                return ()

        resting = [order for order in exposure.orders if order.coin in markets][:ITEM_COUNT_MAX]
        if resting:
            cancels = tuple(CancelItem(markets[order.coin].asset_id, order.oid) for order in resting)
            statuses = await ask(cancel_action(cancels), len(cancels), self._nonce())
            said += [f"cancel {text}" for text in statuses]
        slippage_bps = min(self._slippage_bps_max, SLIPPAGE_BPS_START * 2 ** min(attempt, 10))
        for position in exposure.positions:
            if position.coin in markets:
                nonce = self._nonce()
                item = _closing(position, markets[position.coin], slippage_bps, watchdog_cloid(nonce, 0))
                said += await ask(order_action((item,)), 1, nonce)
        if unanswered and not said:
            raise unanswered[0]
        unlisted = sorted(coin for coin in exposure.coins - markets.keys() if _dex_of(coin) in of_dex)
        return (
            *said,
            *(f"no answer: {error}" for error in unanswered),
            *(f"{coin[:40]!a} is not listed: close it by hand" for coin in unlisted),
            *failures,
        )

    async def _markets(self, dex: str) -> dict[str, _Market]:
        found: dict[str, _Market] = {}
        offset = await self._asset_offset(dex)
        meta, ctxs = await self._info.meta_and_asset_ctxs(dex, is_essential=True)
        for index, (market, ctx) in enumerate(zip(meta.universe, ctxs, strict=True)):
            if market.sz_decimals is not None and ctx.mark_px > ZERO:
                found[market.name] = _Market(offset + index, market.sz_decimals, ctx.mark_px)
        return found

    async def _asset_offset(self, dex: str) -> int:
        """Return what is added to an index of the dex's universe; the validator dex has the ids as they are."""
        if not dex:
            return 0
        if dex not in self._dex_indexes:
            entries = await self._info.perp_dexs(is_essential=True)
            self._dex_indexes = {entry.name: index for index, entry in enumerate(entries) if entry is not None}
        if dex not in self._dex_indexes:
            raise NotSent(f"expected dex {dex[:40]!a} in perpDexs, found none of that name")
        return _ASSET_ID_BASE + self._dex_indexes[dex] * _UNIVERSE_COUNT_MAX

    async def _send(self, action: Action, item_count: int, nonce: int) -> tuple[str, ...]:
        expires_ts_ms = self._clock.ts_ns() // NS_PER_MS + EXPIRY_MS
        body = signed_body(self._signer, action, nonce=nonce, expires_after_ts_ms=expires_ts_ms)
        answer = await self._exchange.post(body, item_count=item_count)
        said = answer_of_body(0, answer.status, answer.body, self._clock.mono_ns(), self._clock.ts_ns())
        if said.statuses:
            return tuple(map(_status_text, said.statuses))
        return (f"{said.code or 'unknown'} {said.text}",)

    def _nonce(self) -> int:
        nonce = next_nonce(self._nonces, self._clock.ts_ns())
        if nonce is None:
            raise NotSent("expected a clock near the last nonce, found it a day behind; set this machine's clock")
        self._mark.renew(nonce)
        return nonce


def _dex_of(coin: str) -> str:
    return coin.rpartition(":")[0]


def _closing(position: VenuePosition, market: _Market, slippage_bps: Decimal, cloid: str) -> OrderItem:
    side = Side.SELL if position.sz > ZERO else Side.BUY
    factor = BPS - slippage_bps if side is Side.SELL else BPS + slippage_bps
    return order_item(
        asset_id=market.asset_id,
        side=side,
        px=round_px_toward_safe(side, market.mark_px * factor / BPS, market.sz_decimals) or market.mark_px,
        # What is left below the lot of a changed spec goes as it is: the venue may close it whole (F-41).
        sz=floor_sz(abs(position.sz), market.sz_decimals) or abs(position.sz),
        is_reduce_only=True,
        tif=Tif.IOC,
        cloid=cloid,
    )


def _status_text(status: ActionStatus) -> str:
    if status.kind == "filled":
        return f"filled {status.total_sz} at {status.avg_px}"
    return f"{status.kind} {status.text}".strip()
