"""Funding at the hour: size x oracle x rate, paid to or by the house.

Rule 1: longs pay shorts when the rate is positive; isolated positions pay from their margin, others from the cash.
Rule 2: every position that is held pays, also at rate 0, so that each hour is on record.
Rule 3: `cumFunding` counts what was paid as positive (a short that received has negative figures on the wire).

Source: hyperliquid-protocol.md, sections 1.6 (userEvents), 2 (userFunding) and 9.
"""

from decimal import Decimal

from streaming.core.units import ZERO
from streaming.sim.exchange.accounts.accounts import Account, Accounts
from streaming.sim.exchange.accounts.positions import Position
from streaming.sim.exchange.events import AccountChanged, ExchangeEvent, Json, UserEvent
from streaming.sim.exchange.texts import ZERO_HASH, cut_usd, number_text, usd_text
from streaming.sim.exchange.times import HOUR_MS


def hours_due(after_ms: int, until_ms: int) -> range:
    """Return the full hours with after < hour <= until, as ms UTC."""
    return range((after_ms // HOUR_MS + 1) * HOUR_MS, until_ms + 1, HOUR_MS)


def settle_hour(accounts: Accounts, hour_ms: int, now_ms: int) -> list[ExchangeEvent]:
    """Let every position pay or receive the funding of an hour.

    Args:
        accounts: Whose positions.
        hour_ms: The full hour: rate and oracle are those in force then.
        now_ms: Time of the block, which is on record.
    """
    events: list[ExchangeEvent] = []
    for account in accounts.holders():
        for house in account.houses.values():
            payments = [_settle(accounts, account, position, hour_ms) for position in house.positions.values()]
            for payment in payments:
                item = {"time": now_ms, "hash": ZERO_HASH, "delta": {"type": "funding", **payment}}
                account.fundings.append(item)
                events.append(UserEvent(account.user, {"funding": {"time": now_ms, **payment}}))
            if payments:
                events.append(AccountChanged(account.user, house.dex))
    return events


def _settle(accounts: Accounts, account: Account, position: Position, hour_ms: int) -> dict[str, Json]:
    coin = position.coin
    rate = accounts.view.funding_ratio(coin, hour_ms)
    paid = cut_usd(position.szi * accounts.view.oracle_px(coin, hour_ms) * rate)
    accounts.pay(account, position, paid)
    position.funding_since_open += paid
    position.funding_since_change += paid
    account.funding_all_time[coin] = account.funding_all_time.get(coin, ZERO) + paid
    return _payment(position, paid, rate)


def _payment(position: Position, paid: Decimal, rate: Decimal) -> dict[str, Json]:
    return {
        "coin": position.coin,
        "usdc": usd_text(-paid),
        "szi": number_text(position.szi),
        "fundingRate": number_text(rate),
        "nSamples": None,
    }


def cum_funding_body(account: Account, position: Position) -> dict[str, Json]:
    """Return `cumFunding` of a position."""
    return {
        "allTime": usd_text(account.funding_all_time.get(position.coin, ZERO)),
        "sinceOpen": usd_text(position.funding_since_open),
        "sinceChange": usd_text(position.funding_since_change),
    }
