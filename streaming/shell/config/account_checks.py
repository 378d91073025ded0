"""What the venue says about the account and the plan: every question that users of such programs open issues about.

Why this module exists: a wrong address, mode or balance shows itself as "balance 0", "nothing happens" or a refused
order, hours later; here each is asked for, and told with what was expected, what was found, and what to do.

Rule 1: nothing is sent but reads, and each answer is judged by a function of its own.
Rule 2: `fail` is what would keep orders from being accepted or would send them for somebody else; `warn` is what an
operator should know before he trades. Without an account most questions do not arise, and that is `ok`.
Rule 3: a question without an answer fails under its own name: what is not known does not trade.
"""

from collections.abc import Awaitable, Callable, Iterator
from decimal import ROUND_CEILING, Decimal
from functools import partial

import aiohttp

from streaming.core.errors import PreflightRefused, RateLimited, VenueError
from streaming.core.market import MarketSpec
from streaming.core.registry import DexMeta
from streaming.core.units import NS_PER_MS, ONE
from streaming.hyperliquid.account import AddressBudget, AgentInfo, AssetLeverage, SpotBalance, UserRole
from streaming.hyperliquid.info import AssetCtx
from streaming.hyperliquid.limits import (
    MESSAGE_COUNT_MAX,
    ORDER_NTL_MIN_USD,
    REQUEST_WEIGHT_MAX,
    SCHEDULE_CANCEL_VOLUME_USD,
    SUBSCRIPTION_COUNT_MAX,
    UNIFIED_ACTION_COUNT_MAX,
)
from streaming.shell.clock import Clock, SystemClock
from streaming.shell.config.doctor import Finding, failed, fine, warned
from streaming.shell.config.schema import Config
from streaming.shell.info.rest import InfoClient
from streaming.shell.process import assemble

LEVERAGE_COIN_COUNT_MAX = 10
"""Markets whose leverage is asked for: a question costs 20 of the 1,200 of weight a minute."""
AGENT_DAYS_WARN = 14
CLOCK_OFFSET_MS_WARN = 2_000
BUDGET_HOURS_WARN = 1
HEADROOM_RATIO_WARN = Decimal("0.8")
UNIFIED_MODES = frozenset({"unifiedAccount", "portfolioMargin"})
"""Balances and holds stand in the spot state, for all dexes together."""
_STANDARD_MODES = frozenset({"disabled", "default"})
_MS_PER_DAY = 86_400_000
_NAMES_SHOWN = 8


async def venue_findings(config: Config, agent_address: str | None) -> list[Finding]:
    """Ask the configured venue; a venue that does not answer is one warning, as it may just not run yet."""
    async with aiohttp.ClientSession() as http:
        client = assemble.info_client(config, http)
        try:
            await client.exchange_status()
        except VenueError as error:
            return [warned("venue", f"{config.venue} does not answer, account and plan are unchecked: {error}")]
        try:
            plan = await assemble.checked_plan(config, client)
        except PreflightRefused as refused:
            return [failed("plan", reason) for reason in refused.reasons]
        return await account_findings(config, client, agent_address, specs=plan.specs)


async def account_findings(
    config: Config,
    client: InfoClient,
    agent_address: str | None,
    *,
    specs: tuple[MarketSpec, ...],
    clock: Clock | None = None,
) -> list[Finding]:
    """Ask everything about plan and account.

    Args:
        config: Names venue, account and limits.
        client: Asks the venue.
        agent_address: Address of the key that would sign; None if there is none.
        specs: Markets of the plan.
        clock: Our wall clock, compared with the venue's.
    """
    clock = clock or SystemClock()
    found = await _answered("venue clock", lambda: _venue_clock(config, client, clock))
    found += await _answered("asset ids", lambda: _markets(config, client, specs))
    if config.account:
        found += await _Account(config, client, agent_address, specs, clock.ts_ns() // NS_PER_MS).findings()
    elif agent_address is not None:
        found.append(failed("account", "expected the master address of the agent's account, found none; set account"))
    else:
        found.append(fine("account", "none configured: observing; set account to your master address to trade"))
    found.append(rate_limits(len(assemble.subscriptions(config, specs)), client.use_ratio()))
    return found


async def signing_findings(config: Config, client: InfoClient, agent_address: str) -> list[Finding]:
    """Ask only what decides whether orders may be signed: whose address, whose agent, which mode (weight 162)."""
    return await _Account(config, client, agent_address, (), SystemClock().ts_ns() // NS_PER_MS).signing()


def refusals_of(found: list[Finding]) -> tuple[str, ...]:
    """Return what stands against trading, a sentence each."""
    return tuple(f"{finding.name}: {finding.detail}" for finding in found if finding.level == "fail")


class _Account:
    """The questions about one account, in an order in which later ones use earlier answers."""

    def __init__(
        self, config: Config, client: InfoClient, agent_address: str | None, specs: tuple[MarketSpec, ...], now_ms: int
    ) -> None:
        self._config = config
        self._client = client
        self._agent = agent_address
        self._specs = specs
        self._now_ms = now_ms
        self._account = config.account.lower()
        self._mode = ""
        self._leverage_min = 1

    async def signing(self) -> list[Finding]:
        found = await _answered("account", self._identity)
        if any(finding.level == "fail" for finding in found):
            return found  # the other answers would be those of somebody else, or empty
        found += await _answered("agent", self._signer)
        return found + await _answered("account mode", self._account_mode)

    async def findings(self) -> list[Finding]:
        found = await self.signing()
        if found[0].level == "fail":
            return found
        found += await _answered("leverage", self._leverage)
        for dex in dict.fromkeys(spec.dex for spec in self._specs):
            found += await _answered(f"collateral {dex}", partial(self._collateral, dex))
        found += await _answered("address budget", self._budget)
        return found

    async def _identity(self) -> list[Finding]:
        # The simulated venue opens an account when it is first asked about it, so the state comes before the role.
        await self._client.clearinghouse_state(self._account, "")
        role = await self._client.user_role(self._account)
        return [account_role(self._account, role, venue=self._config.venue)]

    async def _signer(self) -> list[Finding]:
        if self._agent is None:
            return [fine("agent", "no agent_key_file: nothing is signed")]
        role = await self._client.user_role(self._agent)
        agents = await self._client.extra_agents(self._account)
        return [agent_approval(self._account, self._agent.lower(), role, agents, now_ms=self._now_ms)]

    async def _account_mode(self) -> list[Finding]:
        self._mode = await self._client.user_abstraction(self._account)
        return [account_mode(self._mode, self._config.limits.actions.action_rate_per_s)]

    async def _leverage(self) -> list[Finding]:
        asked = self._specs[:LEVERAGE_COIN_COUNT_MAX]
        read = {spec.coin: await self._client.active_asset_data(self._account, spec.coin) for spec in asked}
        self._leverage_min = min((data.leverage for data in read.values()), default=1)
        return [leverage(asked, read, unasked_count=len(self._specs) - len(asked))]

    async def _collateral(self, dex: str) -> list[Finding]:
        token = next(spec.collateral_token for spec in self._specs if spec.dex == dex)
        if self._mode in UNIFIED_MODES:
            free = spot_free(await self._client.spot_state(self._account), token)
            place = "the spot balance, which all dexes of a unified account share"
        else:
            free = (await self._client.clearinghouse_state(self._account, dex)).withdrawable
            place = f"dex {dex}, whose balance is its own"
        return [collateral(f"collateral {dex}", free, token, place, config=self._config, leverage=self._leverage_min)]

    async def _budget(self) -> list[Finding]:
        budget = await self._client.user_rate_limit(self._account)
        actions = self._config.limits.actions
        return [
            address_budget(budget, rate_per_s=actions.action_rate_per_s, reserve_count=actions.address_reserve_count),
            schedule_cancel(budget),
        ]


async def _answered(name: str, ask: Callable[[], Awaitable[list[Finding]]]) -> list[Finding]:
    try:
        return await ask()
    except RateLimited as error:
        found, todo = f"this address's requests a minute used up ({error})", "ask again in a minute"
    except VenueError as error:
        found, todo = str(error), "ask again"
    detail = f"expected an answer of the venue, found {found}; {todo}"
    return [Finding(name=name, level="fail", detail=detail, is_answered=False)]


async def _venue_clock(config: Config, client: InfoClient, clock: Clock) -> list[Finding]:
    asked_ns = clock.ts_ns()
    status = await client.exchange_status()
    middle_ms = (asked_ns + clock.ts_ns()) // 2 // NS_PER_MS
    found = [venue_clock(status.venue_ts_ms - middle_ms, fail_ms=config.limits.venue_offset_ms_max)]
    if status.is_special:
        found.append(warned("venue status", "only post-only orders pass for now (after an upgrade): no entries"))
    return found


async def _markets(config: Config, client: InfoClient, specs: tuple[MarketSpec, ...]) -> list[Finding]:
    wrong: list[str] = []
    too_small: list[str] = []
    for dex in dict.fromkeys(spec.dex for spec in specs):
        of_dex = [spec for spec in specs if spec.dex == dex]
        meta, ctxs = await client.meta_and_asset_ctxs(dex)
        wrong += misplaced(of_dex, meta)
        too_small += unaffordable(of_dex, ctxs, config.limits.sizing.order_ntl_max)
    return [asset_ids(specs, wrong), minimum_order(config.limits.sizing.order_ntl_min, too_small)]


# --- judgements, a function a question


def venue_clock(offset_ms: int, *, fail_ms: int) -> Finding:
    """Judge how far the venue's time is from ours; its own is about 200 ms old when it arrives."""
    detail = f"the venue's time is {offset_ms:+} ms from ours"
    if abs(offset_ms) >= fail_ms:
        return failed("venue clock", f"expected less than {fail_ms} ms, found: {detail}; start time synchronisation")
    if abs(offset_ms) >= CLOCK_OFFSET_MS_WARN:
        return warned("venue clock", f"{detail}; entries close at {fail_ms} ms: start time synchronisation")
    return fine("venue clock", detail)


def account_role(account: str, role: UserRole, *, venue: str) -> Finding:
    """Judge whether the configured address is a master's."""
    match role.role:
        case "user":
            return fine("account", f"{account} is a master address")
        case "agent":
            found = f"found the agent of {role.master}: all answers about an agent are empty; set account to that"
        case "subAccount":
            found = f"found a sub-account of {role.master}: an agent's orders would go to that; set account to that"
        case "vault":
            found = "found a vault: vaults can not trade HIP-3 markets"
        case "missing":
            found = f"found an address that {venue} has never seen; deposit there first, or correct account or venue"
        case other:
            found = f"found the role {other!a}"
    return failed("account", f"expected {account} to be a master address, {found}")


def agent_approval(account: str, agent: str, role: UserRole, agents: tuple[AgentInfo, ...], *, now_ms: int) -> Finding:
    """Judge whether our key may sign for the account, and for how long."""
    if agent == account:
        return failed("agent", "expected an agent's key, found the master's own, which can withdraw; `hip3 keys new`")
    if role.role != "agent" or role.master != account:
        whose = f"the agent of {role.master}" if role.role == "agent" else f"role {role.role!a}"
        return failed(
            "agent", f"expected {agent} to be approved by {account}, found {whose}; approve it with the master's wallet"
        )
    listed = next((item for item in agents if item.address == agent), None)
    if listed is None:
        return fine("agent", f"{agent} is approved, as the unnamed agent; the venue does not list when that ends")
    if listed.valid_until_ms is None:
        return fine("agent", f"{agent} is approved as {listed.name!a}, without an end")
    days_left = (listed.valid_until_ms - now_ms) // _MS_PER_DAY
    detail = f"{agent} is approved as {listed.name!a} for {days_left} more days"
    if days_left < AGENT_DAYS_WARN:
        return warned("agent", f"{detail}; approve it again, or a new one: `hip3 keys rotate`")
    return fine("agent", detail)


def account_mode(mode: str, action_rate_per_s: int) -> Finding:
    """Judge how the account keeps its balances."""
    if mode in _STANDARD_MODES:
        return fine("account mode", f"standard ({mode}): each dex has its own balance")
    if mode in UNIFIED_MODES:
        hours = Decimal(UNIFIED_ACTION_COUNT_MAX) / (action_rate_per_s * 3_600)
        detail = f"expected standard, found {mode}: balances of single dexes mean nothing there, and a day's cap of "
        detail += f"{UNIFIED_ACTION_COUNT_MAX} actions lasts {hours:.1f} h at {action_rate_per_s} a second"
        return warned("account mode", f"{detail}; trade with an account in standard mode")
    if mode == "dexAbstraction":
        return warned(
            "account mode", "expected standard, found dexAbstraction (deprecated): money moves between dexes by itself"
        )
    return warned("account mode", f"expected standard, found {mode!a}, which is not known here")


def leverage(specs: tuple[MarketSpec, ...], read: dict[str, AssetLeverage], *, unasked_count: int) -> Finding:
    """Judge margin mode and leverage of markets against what their specs allow."""
    texts, odd = [], []
    for spec in specs:
        data = read[spec.coin]
        text = f"{spec.coin} {'isolated' if data.is_isolated else 'cross'} {data.leverage}x of {spec.leverage_max}"
        texts.append(text)
        if data.leverage > spec.leverage_max or not (data.is_isolated or spec.margin_mode == "cross"):
            odd.append(f"{text} in a {spec.margin_mode} market")
    if odd:
        return warned("leverage", f"expected what the market allows, found {_some(odd)}; set it in the account")
    more = f"; {unasked_count} more are not asked about" if unasked_count else ""
    return fine("leverage", f"{', '.join(texts)}{more}")


def spot_free(balances: tuple[SpotBalance, ...], token: int) -> Decimal:
    """Return what of a token is not on hold."""
    return sum((item.total - item.hold for item in balances if item.token == token), Decimal(0))


def collateral(name: str, free: Decimal, token: int, place: str, *, config: Config, leverage: int) -> Finding:
    """Judge free collateral against the smallest order and against everything the caps allow."""
    sizing = config.limits.sizing
    unit = "USDC" if token == 0 else f"of token {token}"
    least, whole = sizing.order_ntl_min / leverage, sizing.account_ntl_max / leverage
    if free < least:
        return failed(
            name,
            f"expected at least {least:.2f} {unit} (an order of {sizing.order_ntl_min} at {leverage}x), found "
            f"{free:.2f} free on {place}; move collateral there with the master's wallet",
        )
    detail = f"{free:.2f} {unit} free on {place}"
    if free < whole:
        return warned(
            name, f"{detail}; the caps allow {sizing.account_ntl_max}, which needs {whole:.2f} at {leverage}x"
        )
    return fine(name, detail)


def address_budget(budget: AddressBudget, *, rate_per_s: int, reserve_count: int) -> Finding:
    """Judge how long the account's requests last."""
    entries_left = max(0, budget.left_count - reserve_count)
    hours = Decimal(entries_left) / (rate_per_s * 3_600)
    detail = (
        f"{budget.left_count} of {budget.cap_count} requests left, {reserve_count} of them for exits: {hours:.1f} h at "
        f"{rate_per_s} a second; each USD traded brings one more"
    )
    if not entries_left:
        return failed("address budget", f"expected more than {reserve_count} requests, found {detail}")
    if hours < BUDGET_HOURS_WARN:
        return warned("address budget", detail)
    return fine("address budget", detail)


def schedule_cancel(budget: AddressBudget) -> Finding:
    """Tell whether the venue's own dead man's switch can be used."""
    traded = f"${budget.cum_vlm_usd:.0f} of ${SCHEDULE_CANCEL_VOLUME_USD} traded"
    if budget.cum_vlm_usd < SCHEDULE_CANCEL_VOLUME_USD:
        return warned("scheduled cancel", f"not possible yet, {traded}: run `hip3 watchdog`, it flattens instead")
    return fine("scheduled cancel", f"possible, {traded}")


def misplaced(specs: list[MarketSpec], meta: DexMeta) -> Iterator[str]:
    """Name the specs whose asset id leads to another market."""
    for spec in specs:
        index = spec.asset_id % 10_000
        name = meta.universe[index].name if index < len(meta.universe) else "nothing"
        if name != spec.coin:
            yield f"{spec.coin} {spec.asset_id} leads to {name!a}"


def asset_ids(specs: tuple[MarketSpec, ...], wrong: list[str]) -> Finding:
    """Judge ids against a second reading of the universe, and print them."""
    if wrong:
        return failed("asset ids", f"expected each coin at its index of meta, found {_some(wrong)}; start again")
    return fine("asset ids", _some([f"{spec.coin} {spec.asset_id}" for spec in specs]))


def unaffordable(specs: list[MarketSpec], ctxs: tuple[AssetCtx, ...], order_ntl_max: Decimal) -> Iterator[str]:
    """Name the markets whose smallest order, in whole lots, is larger than our largest."""
    px_by_coin = {ctx.coin: ctx.mark_px for ctx in ctxs}
    for spec in specs:
        px = px_by_coin.get(spec.coin)
        if not px:
            continue
        lot_ntl = px.scaleb(-spec.sz_decimals)
        smallest = lot_ntl * (ORDER_NTL_MIN_USD / lot_ntl).quantize(ONE, rounding=ROUND_CEILING)
        if smallest > order_ntl_max:
            yield f"{spec.coin} {smallest:.2f}"


def minimum_order(order_ntl_min: Decimal, too_small: list[str]) -> Finding:
    """Judge our least and largest order against the venue's least one."""
    if order_ntl_min < ORDER_NTL_MIN_USD:
        return failed(
            "minimum order",
            f"expected limits.sizing.order_ntl_min of at least {ORDER_NTL_MIN_USD}, found {order_ntl_min}; the venue "
            "refuses less",
        )
    if too_small:
        return warned(
            "minimum order", f"no order fits into limits.sizing.order_ntl_max where the least is: {_some(too_small)}"
        )
    return fine("minimum order", f"{order_ntl_min}, the venue takes {ORDER_NTL_MIN_USD}; every market's lot fits")


def rate_limits(subscription_count: int, weight_ratio: Decimal) -> Finding:
    """Judge what the plan leaves of the limits of this IP."""
    weight = int(weight_ratio * REQUEST_WEIGHT_MAX)
    detail = (
        f"{subscription_count} of {SUBSCRIPTION_COUNT_MAX} subscriptions, a reconnect sends that many of "
        f"{MESSAGE_COUNT_MAX} messages a minute; these checks took {weight} of {REQUEST_WEIGHT_MAX} weight a minute"
    )
    if Decimal(subscription_count) / SUBSCRIPTION_COUNT_MAX > HEADROOM_RATIO_WARN:
        return warned("rate limits", f"{detail}; name fewer coins or channels to leave room")
    return fine("rate limits", detail)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more
