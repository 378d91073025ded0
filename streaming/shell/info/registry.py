"""Reads what is listed: once before the start, then every 30 s.

Rule 1: the plan itself is made by `core.registry`; this module only asks.
Rule 2: a poll that fails emits nothing: what is old becomes unknown by its age, and unknown blocks (gate 4, gate 6).
Rule 3: failures back off 1, 2, 4 ... 60 s with jitter; the first failure and the recovery are logged.
Rule 4: there is no halted flag on the wire. A watched market that vanished from `meta` or is delisted is reported as
halted; one that is listed is not, and the engine infers the rest.
"""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from random import Random

from streaming.core.errors import VenueError
from streaming.core.events import MarketStatusReceived, SpecsReceived
from streaming.core.market import MarketSpec, MarketStatus
from streaming.core.registry import (
    BASE_CROSS_RATE,
    DexMeta,
    Listings,
    RegistryPlan,
    Watchlist,
    plan_registry,
    watched_dexes,
)
from streaming.core.units import ZERO
from streaming.hyperliquid.info import DexLimits
from streaming.hyperliquid.limits import REQUEST_WEIGHT_MAX, SUBSCRIPTION_COUNT_MAX, USER_COUNT_MAX, request_weight
from streaming.shell.clock import Clock
from streaming.shell.info.rest import InfoClient
from streaming.shell.telemetry.logs import get_logger

POLL_S = 30
_BACKOFF_S_MAX = 60
_POLL_SHARE = Decimal("0.5")
"""Share of the venue's weight limit that polling may use by its own rhythm."""

_log = get_logger(component="registry")

Emit = Callable[[SpecsReceived | MarketStatusReceived], None]


async def load_registry(
    client: InfoClient,
    dexes: tuple[str, ...],
    account: str | None,
    *,
    coins: tuple[str, ...] = (),
    open_coins: tuple[str, ...] = (),
    channels: tuple[str, ...] = ("bbo", "activeAssetCtx"),
    user_channels: tuple[str, ...] = (),
) -> RegistryPlan:
    """Ask the venue for everything a plan needs, and plan. These requests are essential: they are not shed.

    Args:
        client: Asks the venue.
        dexes: HIP-3 dexes by exact name.
        account: Master address whose fees apply; None or empty is the base tier.
        coins: Full names to watch; empty is every live market of the dexes.
        open_coins: As at `Watchlist`.
        channels: Subscriptions per market.
        user_channels: Subscriptions for the account; none without an account.

    Raises:
        VenueError: An answer is missing; no plan can be made.
    """
    watchlist = _watchlist(
        dexes,
        coins,
        open_coins,
        channel_count=len(channels),
        user_channel_count=len(user_channels) if account else 0,
    )
    reserved = {market.name for market in (await client.meta("", is_essential=True)).universe}
    reserved |= await client.spot_names(is_essential=True)
    listings = await _read_listings(client, watchlist, account, frozenset(reserved), is_essential=True)
    return plan_registry(listings, watchlist)


def _watchlist(
    dexes: tuple[str, ...],
    coins: tuple[str, ...],
    open_coins: tuple[str, ...],
    *,
    channel_count: int,
    user_channel_count: int,
) -> Watchlist:
    return Watchlist(
        dexes=dexes,
        coins=coins,
        open_coins=open_coins,
        channel_count=channel_count,
        user_channel_count=user_channel_count,
        user_count=1 if user_channel_count else 0,
        subscription_count_max=SUBSCRIPTION_COUNT_MAX,
        user_count_max=USER_COUNT_MAX,
    )


async def _read_listings(
    client: InfoClient, watchlist: Watchlist, account: str | None, reserved: frozenset[str], *, is_essential: bool
) -> Listings:
    dexes = await client.perp_dexs(is_essential=is_essential)
    listed = {dex.name for dex in dexes if dex is not None}
    metas: dict[str, DexMeta] = {}
    for dex in watched_dexes(watchlist):
        if dex and dex in listed:
            metas[dex] = await client.meta(dex, is_essential=is_essential)
    cross_rate, referral_discount = BASE_CROSS_RATE, ZERO
    if account:
        fees = await client.user_fees(account, is_essential=is_essential)
        cross_rate, referral_discount = fees.user_cross_rate, fees.referral_discount
    return Listings(
        dexes=dexes,
        metas=metas,
        reserved_names=reserved,
        user_cross_rate=cross_rate,
        referral_discount=referral_discount,
    )


class RegistryPoller:
    """Polls specs and statuses of the markets that are watched."""

    def __init__(
        self,
        client: InfoClient,
        dexes: tuple[str, ...],
        account: str | None,
        *,
        watched: tuple[MarketSpec, ...],
        emit: Emit,
        clock: Clock,
        random: Random,
        coins: tuple[str, ...] = (),
    ) -> None:
        """Poll `watched`, the specs of the plan this session started with.

        Args:
            client: Asks the venue; its polls are shed at 80 % of the weight limit.
            dexes: As at `load_registry`.
            account: As at `load_registry`.
            watched: Markets to report on, whatever `meta` says later.
            emit: Receives each event.
            clock: Stamps the events.
            random: Jitter of the back-off.
            coins: As at `load_registry`.
        """
        self._client = client
        # What is watched without being wanted had something open at the start, and is asked about as long as the rest.
        open_coins = [spec.coin for spec in watched if spec.dex not in dexes or (coins and spec.coin not in coins)]
        self._watchlist = _watchlist(dexes, coins, tuple(open_coins), channel_count=0, user_channel_count=0)
        self._watched = {spec.coin: spec for spec in watched}
        self._emit = emit
        self._clock = clock
        self._random = random
        self._account = account
        self._failure_count = 0
        self._last_notes: frozenset[str] = frozenset()
        self._listed: frozenset[str] | None = None
        self._deposits: dict[str, Decimal] = {}

    @property
    def interval_s(self) -> int:
        """Seconds between polls: 30, or more if that many dexes would use over half of the weight limit."""
        per_dex = ("meta", "perpsAtOpenInterestCap", "perpDexLimits", "perpDexStatus")
        weight = sum(map(request_weight, per_dex)) * len(watched_dexes(self._watchlist))
        weight += sum(map(request_weight, ("perpDexs", "userFees", "exchangeStatus")))
        return max(POLL_S, int(60 * weight / (REQUEST_WEIGHT_MAX * _POLL_SHARE)) + 1)

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            delay_s = await self.poll()
            await asyncio.sleep(delay_s)

    async def poll(self) -> float:
        """Poll once and return the seconds to wait before the next one; failures of the venue are not raised."""
        try:
            plan = await self._poll_specs()
            await self._poll_statuses({spec.coin: spec for spec in (*plan.specs, *plan.delisted)})
        except VenueError as error:
            if not self._failure_count:
                _log.warning("registry_poll_failed", error=str(error))
            delay_s = min(1 << self._failure_count, _BACKOFF_S_MAX)
            self._failure_count = min(self._failure_count + 1, 16)
            # Half to whole of the delay, and never below one second.
            return max(1.0, delay_s * self._random.uniform(0.5, 1.0))
        if self._failure_count:
            _log.info("registry_poll_recovered", failure_count=self._failure_count)
        self._failure_count = 0
        return self.interval_s * self._random.uniform(0.9, 1.0)

    async def _poll_specs(self) -> RegistryPlan:
        listings = await _read_listings(self._client, self._watchlist, self._account, frozenset(), is_essential=False)
        plan = plan_registry(listings, self._watchlist)
        self._note(plan)
        specs = tuple(spec for spec in (*plan.specs, *plan.delisted) if spec.coin in self._watched)
        self._emit(SpecsReceived(recv_mono_ns=self._clock.mono_ns(), recv_ts_ns=self._clock.ts_ns(), specs=specs))
        return plan

    async def _poll_statuses(self, specs: dict[str, MarketSpec]) -> None:
        capped: frozenset[str] = frozenset()
        limits: dict[str, DexLimits | None] = {}
        for dex in dict.fromkeys(spec.dex for spec in self._watched.values()):
            if all(spec.dex != dex for spec in specs.values()):
                continue
            capped |= await self._client.perps_at_open_interest_cap(dex)
            limits[dex] = await self._client.perp_dex_limits(dex)
            await self._poll_deposit(dex)
        status = await self._client.exchange_status()
        statuses = tuple(
            _status(watched, specs.get(coin), capped, limits.get(watched.dex))
            for coin, watched in self._watched.items()
        )
        self._emit(
            MarketStatusReceived(
                recv_mono_ns=self._clock.mono_ns(),
                recv_ts_ns=self._clock.ts_ns(),
                statuses=statuses,
                is_post_only=status.is_special,
            )
        )

    async def _poll_deposit(self, dex: str) -> None:
        # perpDexStatus is polled for what it has: the net deposit. A fall to zero or the first one is worth a line.
        deposit = await self._client.perp_dex_status(dex)
        previous = self._deposits.get(dex)
        if previous is None or (deposit <= 0) is not (previous <= 0):
            _log.info("dex_deposit_read", dex=dex, net_deposit_usd=str(deposit))
        self._deposits[dex] = deposit

    def _note(self, plan: RegistryPlan) -> None:
        # Only what is new since the last poll is logged.
        notes = frozenset((*plan.refusals, *plan.warnings))
        for note in sorted(notes - self._last_notes):
            _log.warning("registry_noted", note=note)
        self._last_notes = notes
        listed = frozenset(spec.coin for spec in plan.specs)
        if self._listed is not None and listed - self._listed:
            _log.info("markets_listed", coins=sorted(listed - self._listed), watched_from="the next start")
        self._listed = listed


def _status(
    watched: MarketSpec, current: MarketSpec | None, capped: frozenset[str], limits: DexLimits | None
) -> MarketStatus:
    if current is None:
        return MarketStatus(coin=watched.coin, is_halted=True, is_at_oi_cap=None, oi_cap_ntl=None)
    return MarketStatus(
        coin=watched.coin,
        is_halted=current.is_delisted,
        is_at_oi_cap=watched.coin in capped,
        oi_cap_ntl=None if limits is None else limits.oi_cap_ntl_by_coin.get(watched.coin),
    )
