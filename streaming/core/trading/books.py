"""Real money in double entry: fills, fees, builder fees, funding, transfers; and what the venue's cash must be.

Rule 1: the legs of a posting sum to zero per currency, or nothing is posted and trading stops (I-14, F-118).
Rule 2: the venue's cash (account value less unrealised results) moves only by what is posted here: realised results,
fees, funding and transfers. `reconcile` compares the two (I-15).
Rule 3: a fee in another token than the dex's collateral is posted in that token: an implicit zero never happens.
"""

from decimal import Decimal

from streaming.core.effects import AnyOutput
from streaming.core.latch import set_latch
from streaming.core.ledger import currency_of, post
from streaming.core.state import EngineState
from streaming.core.trading.model import Funding, Transfer, VenueFill
from streaming.core.units import ZERO

MODE = "live"


def post_fill(
    state: EngineState,
    out: list[AnyOutput],
    fill: VenueFill,
    *,
    part: str,
    reason: str,
    cash: Decimal,
    cost: Decimal,
    realised: Decimal,
) -> None:
    """Post a fill and its fee.

    Args:
        state: The engine's state.
        out: Where outputs go.
        fill: The fill; its `fee` includes the builder's part.
        part: `open`, `close` or `foreign`: a fill that turns a position over is posted in two parts under one tid.
        reason: `fill`, or what the venue did by itself: `settlement`, `liquidation` (F-38).
        cash: Signed change of cash by the notional (> 0 came in).
        cost: Signed change of what the position account holds.
        realised: Result of what was closed, > 0 gained.
    """
    currency = _collateral(state, fill.coin)
    posting_id = f"{fill.coin}-{fill.tid}"
    legs = (("cash", cash), ("position", cost), ("realised_pnl", -realised))
    _post(state, out, fill.coin, f"{posting_id}-{part}", currency, reason, legs)
    if fill.fee != ZERO:
        builder, own = fill.builder_fee, fill.fee - fill.builder_fee
        fee_legs = (("cash", -fill.fee), ("fees", own), ("builder_fees", builder))
        _post(state, out, fill.coin, f"{posting_id}-fee", fill.fee_token, "fee", fee_legs)
        if fill.fee_token != currency:
            reason = f"fee_token: {fill.coin} charged {fill.fee} {fill.fee_token}, expected {currency}"
            set_latch(state, out, reason=reason, operator="engine")
    fee = fill.fee if fill.fee_token == currency else ZERO
    _book(state, fill.coin, realised - fee)
    dex = dex_of(fill.coin)
    if dex in state.live.turnover:
        state.live.turnover[dex] += fill.px * fill.sz


def post_funding(state: EngineState, out: list[AnyOutput], funding: Funding) -> None:
    """Post one funding payment; > 0 was received."""
    currency = _collateral(state, funding.coin)
    legs = (("cash", funding.amount), ("funding", -funding.amount))
    _post(state, out, funding.coin, funding_key(funding), currency, "funding", legs)
    _book(state, funding.coin, funding.amount)


def post_transfer(state: EngineState, out: list[AnyOutput], transfer: Transfer) -> None:
    """Post money that came or went for another reason than trading (F-46); its market is the dex without a name."""
    coin = f"{transfer.dex}:" if transfer.dex else ""
    legs = (("cash", transfer.amount), ("transfers", -transfer.amount))
    _post(state, out, coin, transfer_key(transfer), "USDC", transfer.kind, legs)
    _book(state, coin, transfer.amount)


def funding_key(funding: Funding) -> str:
    """Return the posting of a funding payment."""
    return f"{funding.coin}-funding-{funding.venue_ts_ms}"


def transfer_key(transfer: Transfer) -> str:
    """Return the posting of a transfer; a move between two of our own dexes is two of one reference."""
    return f"transfer-{transfer.reference}-{transfer.dex}-{transfer.amount}"


def dex_of(coin: str) -> str:
    """Return the dex of a full market name; the validator dex is the empty one."""
    return coin.rpartition(":")[0]


def _book(state: EngineState, coin: str, amount: Decimal) -> None:
    dex = dex_of(coin)
    if dex in state.live.cash:
        state.live.cash[dex] += amount


def _collateral(state: EngineState, coin: str) -> str:
    market = state.markets.get(coin)
    return "USDC" if market is None else currency_of(market.spec.collateral_token)


def _post(
    state: EngineState,
    out: list[AnyOutput],
    coin: str,
    posting_id: str,
    currency: str,
    reason: str,
    legs: tuple[tuple[str, Decimal], ...],
) -> None:
    post(state, out, coin=coin, posting_id=posting_id, currency=currency, reason=reason, legs=legs, mode=MODE)
