"""The venue's info endpoint over HTTP: one typed method a request.

Why this module exists: every request is accounted for before it leaves, and every failure ends as one of four errors
that say what may be done next.

Rule 1: `NotSent` may be repeated at once; `OutcomeUnknown` and `RateLimited` after a back-off; `Rejected` never.
Rule 2: polls are shed at 80 % of the venue's weight limit; what a start needs may use all of it (I-37).
Rule 3: no redirects, no body above 8 MiB, no text of a body above 200 bytes in an error (F-106, I-34).
Rule 4: what an answer costs by its length is spent after it; the next request waits for it, this one is not undone.
Rule 5: a time range is read page by page until one is short; each item counts once, and a page that does not go on is
no answer (a gap that looks closed is worse than one that is known).

Source: hyperliquid.gitbook.io, "Info endpoint", "Rate limits and user limits"; error bodies from live probes.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TypeVar

import aiohttp
import msgspec

from streaming.core.budget import SHED_RATIO, WeightWindow
from streaming.core.errors import NotSent, OutcomeUnknown, RateLimited, Rejected
from streaming.core.registry import DexMeta, ListedDex
from streaming.core.trading.model import DexAccount, OrderUpdate, VenueFill
from streaming.core.units import NS_PER_S, ONE
from streaming.hyperliquid import account, account_history, info
from streaming.hyperliquid.limits import LIST_COUNT_MAX, REQUEST_WEIGHT_MAX, WINDOW_S, item_weight, request_weight
from streaming.shell.clock import Clock, SystemClock

_BODY_BYTES_MAX = 8 * 1024 * 1024
_CONNECT_TIMEOUT_S = 2.0
_READ_TIMEOUT_S = 5.0
_TOTAL_TIMEOUT_S = 15.0
_TOO_MANY_REQUESTS = 429
_PAGE_COUNT_MAX = 100
"""Of one time range: 50,000 fills; the venue keeps 10,000 to 12,000 fills."""
_T = TypeVar("_T")


class InfoClient:
    """Reads one venue's info endpoint within its rate limit."""

    def __init__(
        self,
        base_url: str,
        *,
        session: aiohttp.ClientSession,
        clock: Clock | None = None,
        weights: WeightWindow | None = None,
        read_timeout_s: float = _READ_TIMEOUT_S,
    ) -> None:
        """Use `session`, which the caller opens and closes.

        Args:
            base_url: `Venue.base_url`.
            session: Connection pool.
            clock: Dates what is spent.
            weights: Account to share with other users of the same address; a new one if None.
            read_timeout_s: Longest silence while an answer is awaited.
        """
        self._url = base_url + "/info"
        self._session = session
        self._clock = clock or SystemClock()
        self.weights = weights or WeightWindow(REQUEST_WEIGHT_MAX, WINDOW_S * NS_PER_S)
        self._timeout = aiohttp.ClientTimeout(
            total=_TOTAL_TIMEOUT_S,
            connect=_CONNECT_TIMEOUT_S,
            sock_connect=_CONNECT_TIMEOUT_S,
            sock_read=read_timeout_s,
        )

    def use_ratio(self) -> Decimal:
        """Return the used share of the weight limit."""
        return self.weights.use_ratio(self._clock.mono_ns())

    async def perp_dexs(self, *, is_essential: bool = False) -> tuple[ListedDex | None, ...]:
        """Return all perpetual dexes; the position is the dex index."""
        return await self._ask("perpDexs", {}, info.parse_perp_dexs, is_essential=is_essential)

    async def meta(self, dex: str, *, is_essential: bool = False) -> DexMeta:
        """Return the universe of `dex`; the empty name is the validator dex."""
        return await self._ask("meta", {"dex": dex} if dex else {}, info.parse_meta, is_essential=is_essential)

    async def meta_and_asset_ctxs(
        self, dex: str, *, is_essential: bool = False
    ) -> tuple[DexMeta, tuple[info.AssetCtx, ...]]:
        """Return the universe of `dex` with the context of every market."""
        arguments, parse = {"dex": dex} if dex else {}, info.parse_meta_and_asset_ctxs
        return await self._ask("metaAndAssetCtxs", arguments, parse, is_essential=is_essential)

    async def perp_dex_limits(self, dex: str) -> info.DexLimits | None:
        """Return the open-interest caps of `dex`."""
        return await self._ask("perpDexLimits", {"dex": dex}, info.parse_perp_dex_limits)

    async def perp_dex_status(self, dex: str) -> Decimal:
        """Return the net deposit of `dex`: all the status holds."""
        return await self._ask("perpDexStatus", {"dex": dex}, info.parse_perp_dex_status)

    async def perps_at_open_interest_cap(self, dex: str) -> frozenset[str]:
        """Return the coins of `dex` that are at their cap."""
        return await self._ask("perpsAtOpenInterestCap", {"dex": dex}, info.parse_perps_at_open_interest_cap)

    async def user_fees(self, user: str, *, is_essential: bool = False) -> info.UserFees:
        """Return the fee rates of the account `user` (its master address, never an agent's)."""
        return await self._ask("userFees", {"user": user}, info.parse_user_fees, is_essential=is_essential)

    async def exchange_status(self) -> info.ExchangeStatus:
        """Return whether the exchange is in a restricted window."""
        return await self._ask("exchangeStatus", {}, info.parse_exchange_status)

    async def spot_names(self, *, is_essential: bool = False) -> frozenset[str]:
        """Return the names of all spot pairs and tokens."""
        return await self._ask("spotMeta", {}, info.parse_spot_names, is_essential=is_essential)

    # About one account: `user` is its master address (or a sub-account's); an agent's has empty answers everywhere.

    async def user_role(self, user: str, *, is_essential: bool = False) -> account.UserRole:
        """Return what the address `user` is; the heaviest request there is."""
        return await self._ask("userRole", {"user": user}, account.parse_user_role, is_essential=is_essential)

    async def extra_agents(self, user: str, *, is_essential: bool = False) -> tuple[account.AgentInfo, ...]:
        """Return the named agents of an account."""
        return await self._ask("extraAgents", {"user": user}, account.parse_extra_agents, is_essential=is_essential)

    async def user_abstraction(self, user: str, *, is_essential: bool = False) -> str:
        """Return the mode of an account."""
        parse = account.parse_user_abstraction
        return await self._ask("userAbstraction", {"user": user}, parse, is_essential=is_essential)

    async def user_rate_limit(self, user: str, *, is_essential: bool = False) -> account.AddressBudget:
        """Return the request budget of an account."""
        parse = account.parse_user_rate_limit
        return await self._ask("userRateLimit", {"user": user}, parse, is_essential=is_essential)

    async def clearinghouse_state(self, user: str, dex: str, *, is_essential: bool = False) -> DexAccount:
        """Return balance and positions on `dex`; the empty name is the validator dex."""
        arguments = _of_dex(user, dex)

        def parse(body: bytes) -> DexAccount:
            return account.parse_clearinghouse_state(body, dex)

        return await self._ask("clearinghouseState", arguments, parse, is_essential=is_essential)

    async def spot_state(self, user: str, *, is_essential: bool = False) -> tuple[account.SpotBalance, ...]:
        """Return the spot balances."""
        parse = account.parse_spot_state
        return await self._ask("spotClearinghouseState", {"user": user}, parse, is_essential=is_essential)

    async def active_asset_data(self, user: str, coin: str, *, is_essential: bool = False) -> account.AssetLeverage:
        """Return the leverage that is set for a market, and the room for orders there."""
        arguments, parse = {"user": user, "coin": coin}, account.parse_active_asset_data
        return await self._ask("activeAssetData", arguments, parse, is_essential=is_essential)

    async def open_orders(
        self, user: str, dex: str, *, is_essential: bool = False
    ) -> tuple[account_history.OpenOrder, ...]:
        """Return the live orders on `dex`."""
        parse = account_history.parse_open_orders
        return await self._ask("openOrders", _of_dex(user, dex), parse, is_essential=is_essential)

    async def order_status(
        self, user: str, oid_or_cloid: int | str, *, is_essential: bool = False
    ) -> OrderUpdate | None:
        """Return what the venue knows of an order, by its oid or cloid; None is `unknownOid`, no proof of anything."""
        arguments: dict[str, str | int] = {"user": user, "oid": oid_or_cloid}
        return await self._ask("orderStatus", arguments, account_history.parse_order_status, is_essential=is_essential)

    async def user_fills_by_time(
        self, user: str, start_ms: int, end_ms: int | None = None, *, is_essential: bool = False
    ) -> tuple[VenueFill, ...]:
        """Return every fill of `start_ms <= time <= end_ms` once (by tid), oldest first; None is until now."""
        found: dict[int, VenueFill] = {}
        for _ in range(_PAGE_COUNT_MAX):
            asked: dict[str, str | int] = {"user": user, "startTime": start_ms}
            if end_ms is not None:
                asked["endTime"] = end_ms
            parse = account_history.parse_user_fills
            page = await self._ask("userFillsByTime", asked, parse, is_essential=is_essential)
            for fill in page:
                found.setdefault(fill.tid, fill)
            if len(page) < LIST_COUNT_MAX:
                return tuple(found.values())
            last_ms = page[-1].venue_ts_ms
            if last_ms <= start_ms or any(fill.venue_ts_ms > last_ms for fill in page):
                raise OutcomeUnknown(
                    f"userFillsByTime: expected a full page that ends later than {start_ms}, oldest first"
                )
            start_ms = last_ms
        raise OutcomeUnknown(f"userFillsByTime: expected at most {_PAGE_COUNT_MAX} pages, found more")

    async def _ask(
        self,
        info_type: str,
        arguments: Mapping[str, str | int],
        parse: Callable[[bytes], _T],
        *,
        is_essential: bool = False,
    ) -> _T:
        weight = request_weight(info_type)
        now_ns = self._clock.mono_ns()
        share = ONE if is_essential else SHED_RATIO
        if not self.weights.may_spend(now_ns, weight, share):
            used = self.weights.used_weight(now_ns)
            raise RateLimited(
                "ip_weight", f"{info_type} shed: {used} of {self.weights.limit_weight} used, {share} is its share"
            )
        self.weights.spend(now_ns, weight)
        status, body = await self._post(info_type, msgspec.json.encode({"type": info_type, **arguments}))
        _raise_for(info_type, status, body)
        answer = parse(body)
        if isinstance(answer, tuple) and (more := item_weight(info_type, len(answer))):
            self.weights.spend(self._clock.mono_ns(), more)
        return answer

    async def _post(self, info_type: str, request: bytes) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/json"}
        try:
            async with self._session.post(
                self._url, data=request, headers=headers, timeout=self._timeout, allow_redirects=False
            ) as response:
                return response.status, await _read_capped(response, info_type)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as failure:
            raise NotSent(f"{info_type}: expected {self._url} to accept a connection: {_short(failure)}") from failure
        except (aiohttp.ClientError, TimeoutError) as failure:
            raise OutcomeUnknown(f"{info_type}: expected an answer of {self._url}: {_short(failure)}") from failure


def _of_dex(user: str, dex: str) -> dict[str, str]:
    return {"user": user, "dex": dex} if dex else {"user": user}


async def _read_capped(response: aiohttp.ClientResponse, info_type: str) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(65_536):
        body += chunk
        if len(body) > _BODY_BYTES_MAX:
            raise OutcomeUnknown(f"{info_type}: expected at most {_BODY_BYTES_MAX} bytes, found more")
    return bytes(body)


def _raise_for(info_type: str, status: int, body: bytes) -> None:
    if status == 200:
        return
    text = f"{info_type}: expected status 200, found {status} {info.excerpt(body)!r}"
    if status == _TOO_MANY_REQUESTS:
        raise RateLimited("ip_weight", text)
    if status == 500 and body.strip() == b"null":
        # The venue's answer to a dex or coin that it does not know: repeating it is of no use.
        raise Rejected("unknown_name", text)
    if status >= 500:
        raise OutcomeUnknown(text)
    raise Rejected(f"http_{status}", text)


def _short(failure: BaseException) -> str:
    return f"{type(failure).__name__} {failure}"[:200]
