"""What one user sees of his account: bodies of info answers and of the user channels of the websocket.

Rule 1: key order and number spelling are those of recorded bodies (clearinghouseState of a `xyz` short, 2026-08).
Rule 2: amounts are cut to a millionth, ratios and computed prices have at most 10 decimals.
Rule 3: an agent's address has no account of its own: its bodies are empty and nothing is opened for it.

Source: hyperliquid-protocol.md, sections 1.6 and 2.
"""

from collections.abc import Iterable, Iterator
from decimal import ROUND_DOWN, Decimal

from streaming.core.units import ZERO
from streaming.sim.exchange.accounts import margin
from streaming.sim.exchange.accounts.accounts import Account
from streaming.sim.exchange.accounts.clearing import Clearinghouse, Setting
from streaming.sim.exchange.accounts.funding import cum_funding_body
from streaming.sim.exchange.accounts.positions import Position
from streaming.sim.exchange.events import Json
from streaming.sim.exchange.exchange import Exchange
from streaming.sim.exchange.texts import number_text, ratio_text, usd_text

FILLS_MAX = 2_000
"""Fills in one answer and in the snapshot of a subscription."""


def account_of(exchange: Exchange, user: str, now_ms: int) -> Account:
    """Return an account; an agent's is empty and not kept."""
    if exchange.authority.role_of(user, now_ms, exchange.accounts.is_known)["role"] == "agent":
        return exchange.accounts.blank(user)
    return exchange.accounts.look(user)


def clearinghouse_state(exchange: Exchange, user: str, dex: str, now_ms: int) -> Json:
    """Return the body of `clearinghouseState` of one dex."""
    accounts, account = exchange.accounts, account_of(exchange, user, now_ms)
    house, marks = account.houses[dex], accounts.marks(now_ms)
    leverage_max = accounts.leverage_max(now_ms)
    maintenance = sum((margin.maintenance_usd(p, marks(p.coin), leverage_max(p.coin)) for p in house.cross), start=ZERO)
    free = margin.withdrawable_usd(house, accounts.settings_of(account, now_ms), exchange.orders.live(user, dex), marks)
    return {
        "marginSummary": _summary(house, house.positions.values(), marks),
        "crossMarginSummary": _summary(house, house.cross, marks),
        "crossMaintenanceMarginUsed": usd_text(maintenance),
        "withdrawable": usd_text(free),
        "assetPositions": [
            {"type": "oneWay", "position": _position(exchange, account, position, now_ms)}
            for position in house.positions.values()
        ],
        "time": now_ms,
    }


def _summary(house: Clearinghouse, positions: Iterable[Position], marks: margin.Marks) -> Json:
    positions = list(positions)
    raw = house.raw_usd + sum((position.raw_usd for position in positions), start=ZERO)
    used = sum((margin.margin_used_usd(p, marks(p.coin)) for p in positions), start=ZERO)
    return {
        "accountValue": usd_text(raw + sum((p.szi * marks(p.coin) for p in positions), start=ZERO)),
        "totalNtlPos": usd_text(sum((p.value(marks(p.coin)) for p in positions), start=ZERO)),
        "totalRawUsd": usd_text(raw),
        "totalMarginUsed": usd_text(used),
    }


def _position(exchange: Exchange, account: Account, position: Position, now_ms: int) -> Json:
    accounts = exchange.accounts
    coin, marks, leverage_max = position.coin, accounts.marks(now_ms), accounts.leverage_max(now_ms)
    house = account.houses[coin.rpartition(":")[0]]
    mark_px = marks(coin)
    unrealized = position.unrealized(mark_px)
    liquidation_px = margin.liquidation_px(house, position, marks, leverage_max)
    return {
        "coin": coin,
        "szi": number_text(position.szi),
        "leverage": leverage_body(Setting(position.leverage, position.is_cross), position.raw_usd),
        "entryPx": number_text(position.entry_px(accounts.universe.by_coin[coin].px_decimals)),
        "positionValue": usd_text(position.value(mark_px)),
        "unrealizedPnl": usd_text(unrealized),
        "returnOnEquity": ratio_text(unrealized * position.leverage / position.entry_ntl),
        "liquidationPx": None if liquidation_px is None else ratio_text(liquidation_px),
        "marginUsed": usd_text(margin.margin_used_usd(position, mark_px)),
        "maxLeverage": leverage_max(coin),
        "cumFunding": cum_funding_body(account, position),
    }


def leverage_body(setting: Setting, raw_usd: Decimal) -> Json:
    """Return `leverage` of a position or of `activeAssetData`."""
    if setting.is_cross:
        return {"type": "cross", "value": setting.leverage}
    return {"type": "isolated", "value": setting.leverage, "rawUsd": usd_text(raw_usd)}


def spot_state(exchange: Exchange, user: str, now_ms: int) -> Json:
    """Return the body of `spotClearinghouseState`."""
    usdc = account_of(exchange, user, now_ms).spot_usd
    balance = {"coin": "USDC", "token": 0, "total": usd_text(usdc), "hold": "0.0", "entryNtl": "0.0"}
    return {"balances": [balance] if usdc else []}


def open_orders(exchange: Exchange, user: str, dex: str) -> Json:
    """Return the body of `openOrders`, newest first."""
    return [order.open_body() for order in exchange.orders.live(user, dex)]


def frontend_open_orders(exchange: Exchange, user: str, dex: str) -> Json:
    """Return the body of `frontendOpenOrders`; the `openOrders` channel has the same items."""
    return [order.frontend_body() for order in exchange.orders.live(user, dex)]


def recent_fills(exchange: Exchange, user: str, now_ms: int, *, is_aggregated: bool) -> Json:
    """Return the body of `userFills`: the newest 2,000, newest first."""
    fills = account_of(exchange, user, now_ms).fills
    newest = reversed(list(_aggregated(fills) if is_aggregated else fills))
    return [fill for fill, _ in zip(newest, range(FILLS_MAX), strict=False)]


def fills_between(account: Account, start_ms: int, end_ms: int, *, is_aggregated: bool) -> list[Json]:
    """Return fills with start <= time <= end, oldest first."""
    fills = [fill for fill in account.fills if start_ms <= fill["time"] <= end_ms]
    return list(_aggregated(fills)) if is_aggregated else fills


def _aggregated(fills: Iterable[Json]) -> Iterator[Json]:
    """Join the partial fills of an order in one block: sums, and the mean price."""
    groups: dict[tuple[int, int], list[Json]] = {}
    for fill in fills:
        groups.setdefault((fill["time"], fill["oid"]), []).append(fill)
    for parts in groups.values():
        yield _joined(parts) if len(parts) > 1 else parts[0]


def _joined(parts: list[Json]) -> Json:
    sz = sum((Decimal(part["sz"]) for part in parts), start=ZERO)
    ntl = sum((Decimal(part["sz"]) * Decimal(part["px"]) for part in parts), start=ZERO)
    sums = {name: sum((Decimal(part[name]) for part in parts), start=ZERO) for name in ("closedPnl", "fee")}
    return parts[0] | {
        "px": ratio_text(ntl / sz),
        "sz": number_text(sz),
        "closedPnl": usd_text(sums["closedPnl"]),
        "fee": usd_text(sums["fee"]),
    }


def active_asset_data(exchange: Exchange, user: str, coin: str, now_ms: int) -> Json:
    """Return the body of `activeAssetData`; the pairs are for buying and for selling.

    What may be traded is the free cash at the leverage set; against a position also what closing it frees.
    """
    accounts, account = exchange.accounts, account_of(exchange, user, now_ms)
    market, marks = accounts.market(coin, now_ms), accounts.marks(now_ms)
    house, position = account.houses[market.dex], account.position(coin)
    setting, mark_px = accounts.setting(account, coin, now_ms), marks(coin)
    needed = margin.needed_usd(
        house, accounts.settings_of(account, now_ms), exchange.orders.live(user, market.dex), marks
    )
    free = max(ZERO, margin.cross_value_usd(house, marks) - needed)
    freed = ZERO
    if position is not None:
        freed = margin.margin_used_usd(position, mark_px) + position.value(mark_px) / position.leverage
    is_long = position is not None and position.is_long
    available = (free if is_long or position is None else free + freed, free + freed if is_long else free)
    lot = Decimal(1).scaleb(-market.sz_decimals)
    sizes = ((usd * setting.leverage / mark_px).quantize(lot, rounding=ROUND_DOWN) for usd in available)
    return {
        "user": user,
        "coin": coin,
        "leverage": leverage_body(setting, position.raw_usd if position else ZERO),
        "maxTradeSzs": [number_text(max(ZERO, sz)) for sz in sizes],
        "availableToTrade": [usd_text(max(ZERO, usd)) for usd in available],
        "markPx": number_text(mark_px),
    }


def web_data3(exchange: Exchange, user: str, now_ms: int) -> Json:
    """Return the data of the `webData3` channel."""
    accounts, account = exchange.accounts, account_of(exchange, user, now_ms)
    agent = exchange.authority.unnamed_agent_of(user, now_ms)
    capped = {dex.name: _at_cap(exchange, dex.name, now_ms) for dex in accounts.universe.dexes}
    return {
        "userState": {
            "agentAddress": agent.address if agent else None,
            "agentValidUntil": agent.valid_until_ms if agent else None,
            "cumLedger": usd_text(account.deposited_usd),
            "serverTime": now_ms,
            "isVault": False,
            "user": user,
            "abstraction": account.abstraction,
        },
        "perpDexStates": [
            {"totalVaultEquity": "0.0", **({"perpsAtOpenInterestCap": coins} if coins else {})}
            for coins in capped.values()
        ],
    }


def _at_cap(exchange: Exchange, dex: str, now_ms: int) -> list[str]:
    accounts = exchange.accounts
    markets = accounts.universe.by_dex[dex]
    return [market.coin for market in markets if accounts.view.listed(market.coin, now_ms).is_at_oi_cap]


def portfolio(exchange: Exchange, user: str, now_ms: int) -> Json:
    """Return the body of `portfolio`: one point a period, as the venue keeps no history of account values."""
    accounts, account = exchange.accounts, account_of(exchange, user, now_ms)
    marks = accounts.marks(now_ms)
    value = sum(
        (
            house.raw_usd + sum((p.equity(marks(p.coin)) for p in house.positions.values()), start=ZERO)
            for house in account.houses.values()
        ),
        start=account.spot_usd,
    )
    pnl = value - account.deposited_usd
    point = {
        "accountValueHistory": [[now_ms, usd_text(value)]],
        "pnlHistory": [[now_ms, usd_text(pnl)]],
        "vlm": usd_text(account.volumes.total_usd),
    }
    periods = ("day", "week", "month", "allTime", "perpDay", "perpWeek", "perpMonth", "perpAllTime")
    return [[period, point] for period in periods]
