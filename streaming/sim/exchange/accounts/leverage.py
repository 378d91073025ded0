"""Leverage of a market and margin of isolated positions: what users change about them.

Rule 1: a refusal is a text (or None); nothing has changed then.
Rule 2: leverage rises freely; it falls with a position only as far as the margin that is there allows.
Rule 3: `strictIsolated` margin can be added and not removed; what is left behind keeps the position open.

Source: hyperliquid-protocol.md, sections 3.3, 3.5 and 9; texts: probes and listings of the node by others, 2026.
"""

from collections.abc import Iterable
from decimal import Decimal

from streaming.core.units import ZERO
from streaming.sim.exchange.accounts import margin
from streaming.sim.exchange.accounts.accounts import Account, Accounts
from streaming.sim.exchange.accounts.clearing import Setting
from streaming.sim.exchange.accounts.positions import Position
from streaming.sim.exchange.requests import refusals
from streaming.sim.exchange.texts import cut_usd

Resting = Iterable[margin.Claim]
"""The user's live orders on the market's dex."""


def set_leverage(
    accounts: Accounts, user: str, coin: str, wanted: Setting, resting: Resting, now_ms: int
) -> str | None:
    """Set the leverage of a market and return why not, or None."""
    account, market = accounts.of(user), accounts.market(coin, now_ms)
    position = account.position(coin)
    if not 1 <= wanted.leverage <= market.leverage_max:
        return refusals.LEVERAGE_INVALID
    if wanted.is_cross and market.margin_mode != "cross":
        return refusals.NO_CROSS
    if position is not None:
        if position.is_cross != wanted.is_cross:
            return refusals.LEVERAGE_TYPE
        if wanted.leverage < position.leverage and not _is_covered(
            accounts, account, position, wanted, resting, now_ms
        ):
            return refusals.LEVERAGE_DECREASE_CROSS if wanted.is_cross else refusals.LEVERAGE_DECREASE_ISOLATED
        position.leverage = wanted.leverage
    account.settings[coin] = wanted
    return None


def _is_covered(
    accounts: Accounts, account: Account, position: Position, wanted: Setting, resting: Resting, now_ms: int
) -> bool:
    """Tell whether the margin that is there suffices for a position with another leverage."""
    marks, present = accounts.marks(now_ms), accounts.settings_of(account, now_ms)
    if not position.is_cross:
        mark_px = marks(position.coin)
        return position.equity(mark_px) * wanted.leverage >= position.value(mark_px)
    house = account.houses[position.coin.rpartition(":")[0]]

    def settings(coin: str) -> Setting:
        return wanted if coin == position.coin else present(coin)

    return margin.needed_usd(house, settings, resting, marks) <= margin.cross_value_usd(house, marks)


def change_isolated_margin(
    accounts: Accounts, user: str, coin: str, usd: Decimal, resting: Resting, now_ms: int
) -> str | None:
    """Move cash into (positive) or out of an isolated position and return why not, or None."""
    account = accounts.of(user)
    position, house = account.position(coin), account.houses[coin.rpartition(":")[0]]
    if not usd:
        return refusals.MARGIN_CHANGE_ZERO
    if position is None:
        return refusals.NO_POSITION
    if position.is_cross:
        return refusals.NOT_ISOLATED
    if usd > ZERO:
        settings, marks = accounts.settings_of(account, now_ms), accounts.marks(now_ms)
        is_free = usd <= margin.withdrawable_usd(house, settings, resting, marks)
        refusal = None if is_free else refusals.MARGIN_NOT_ADDED
    else:
        refusal = _removal_refusal(accounts, position, -usd, now_ms)
    if refusal is None:
        house.raw_usd -= usd
        position.raw_usd += usd
    return refusal


def _removal_refusal(accounts: Accounts, position: Position, usd: Decimal, now_ms: int) -> str | None:
    if accounts.market(position.coin, now_ms).margin_mode == "strictIsolated":
        return refusals.MARGIN_NOT_REMOVABLE
    mark_px = accounts.view.mark_px(position.coin, now_ms)
    ntl = position.value(mark_px)
    kept = max(ntl / position.leverage, ntl * margin.TRANSFER_RATIO)
    return refusals.MARGIN_NOT_REMOVED if position.equity(mark_px) - usd < kept else None


def top_up_isolated_margin(
    accounts: Accounts, user: str, coin: str, leverage: Decimal, resting: Resting, now_ms: int
) -> str | None:
    """Bring a strictly isolated position to a leverage by adding margin and return why not, or None."""
    market, position = accounts.market(coin, now_ms), accounts.of(user).position(coin)
    if market.margin_mode != "strictIsolated":
        return refusals.NOT_STRICT
    if not 1 <= leverage <= market.leverage_max:
        return refusals.LEVERAGE_INVALID
    if position is None:
        return refusals.NO_POSITION
    mark_px = accounts.view.mark_px(coin, now_ms)
    missing = cut_usd(position.value(mark_px) / leverage - position.equity(mark_px))
    return change_isolated_margin(accounts, user, coin, max(ZERO, missing), resting, now_ms)
