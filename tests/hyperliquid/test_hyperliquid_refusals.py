import inspect
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.core.trading.refusal import RefusalCode
from streaming.hyperliquid.refusals import code_of_status, code_of_text, is_over, printable
from streaming.sim.exchange.requests import refusals as venue

ADDRESS = "0x00000000000000000000000000000000000000a1"
DOCUMENTED_TEXTS = [
    ("Price must be divisible by tick size.", RefusalCode.TICK),
    ("Order must have minimum value of $10.", RefusalCode.MIN_NOTIONAL),
    ("Order must have minimum value of 10 USDC.", RefusalCode.MIN_NOTIONAL),
    ("Insufficient margin to place order.", RefusalCode.MARGIN),
    ("Reduce only order would increase position.", RefusalCode.REDUCE_ONLY),
    ("Post only order would have immediately matched, bbo was 1@2.", RefusalCode.POST_ONLY_CROSSED),
    ("Order could not immediately match against any resting orders.", RefusalCode.NO_MATCH),
    ("Invalid TP/SL price.", RefusalCode.TRIGGER_PX),
    ("No liquidity available for market order.", RefusalCode.NO_LIQUIDITY),
    ("Order would increase open interest while open interest is capped", RefusalCode.OI_CAP),
    (
        "Order rejected due to price more aggressive than oracle while at open interest cap",
        RefusalCode.OI_CAP,
    ),
    ("Order would increase open interest too quickly", RefusalCode.OI_TOO_QUICK),
    ("Order has insufficient spot balance to trade", RefusalCode.SPOT_BALANCE),
    ("Insufficient spot balance", RefusalCode.SPOT_BALANCE),
    ("Order price too far from oracle", RefusalCode.FAR_FROM_ORACLE),
    ("Price too far from oracle", RefusalCode.FAR_FROM_ORACLE),
    ("Order would cause position to exceed margin tier limit at current leverage", RefusalCode.MARGIN_TIER),
    ("Order price cannot be more than 80% away from the reference price", RefusalCode.FAR_FROM_REFERENCE),
    ("Order price cannot be more than 95% away from the reference price", RefusalCode.FAR_FROM_REFERENCE),
    ("Order has invalid price.", RefusalCode.INVALID_PX),
    ("Order has invalid size.", RefusalCode.INVALID_SZ),
    ("Order has zero size.", RefusalCode.INVALID_SZ),
    ("Only post-only orders allowed immediately after network upgrade", RefusalCode.POST_ONLY_WINDOW),
    ("Too many open orders", RefusalCode.TOO_MANY_OPEN_ORDERS),
    ("Trading is halted.", RefusalCode.HALTED),
    ("Order was never placed, already canceled, or filled.", RefusalCode.UNKNOWN_ORDER),
    ("Cannot modify canceled or filled order", RefusalCode.UNKNOWN_ORDER),
    ("Error placing new order during modify: Order has zero size.", RefusalCode.INVALID_SZ),
    (
        "Too many cumulative requests sent (97460 > 97456) for cumulative volume traded $87457.46. Place taker orders.",
        RefusalCode.ADDRESS_LIMIT,
    ),
    ("Invalid nonce: duplicate nonce 1790000000001", RefusalCode.NONCE_DUPLICATE),
    ("Invalid nonce: nonce too low 1 < 2", RefusalCode.NONCE_LOW),
    ("Invalid nonce: nonce 1 too far from block time 2", RefusalCode.NONCE_WINDOW),
    ("Signed action over weight limit of 200.", RefusalCode.OVERWEIGHT),
    (f"Must deposit before performing actions. User: {ADDRESS}", RefusalCode.AUTH),
    (f"User or API Wallet {ADDRESS} does not exist.", RefusalCode.AUTH),
    (f"L1 error: User or API Wallet {ADDRESS} does not exist.", RefusalCode.AUTH),
    ("Unable to recover signer.", RefusalCode.SIGNATURE),
    ("Builder fee has not been approved", RefusalCode.BUILDER_FEE),
    (
        "Cannot set scheduled cancel time until enough volume traded. Required: $1000000. Traded: $5.",
        RefusalCode.SCHEDULE_VOLUME,
    ),
    ("Action disabled when unified account is active", RefusalCode.UNIFIED_ACCOUNT),
    ("Action already expired", RefusalCode.EXPIRED),
    ("Insufficient balance for withdrawal.", RefusalCode.MARGIN),
    ("Insufficient balance for token transfer.", RefusalCode.SPOT_BALANCE),
    ("Insufficient balance for token transfer gas.", RefusalCode.SPOT_BALANCE),
    (f"Vault not registered: {ADDRESS}", RefusalCode.VAULT),
    ("Cross margin is not allowed for this asset.", RefusalCode.LEVERAGE),
    ("Cannot switch leverage type with open position.", RefusalCode.LEVERAGE),
    ("Cannot decrease leverage with open position.", RefusalCode.LEVERAGE),
    ("Invalid leverage value", RefusalCode.LEVERAGE),
    ("Extra agent already used.", RefusalCode.AUTH),
    ("Failed to deserialize the JSON body into the target type", RefusalCode.SCHEMA),
    ("Failed to parse the request body as JSON", RefusalCode.SCHEMA),
    ("Orders are empty", RefusalCode.EMPTY_BATCH),
    ("Cloid already used", RefusalCode.CLOID_USED),
    ("too many pending post requests id=1234", RefusalCode.RATE_LIMIT),
]
DOCUMENTED_STATUSES = [
    ("open", RefusalCode.NONE, False),
    ("triggered", RefusalCode.NONE, False),
    ("filled", RefusalCode.NONE, True),
    ("canceled", RefusalCode.CANCELED, True),
    ("rejected", RefusalCode.UNKNOWN, True),
    ("marginCanceled", RefusalCode.MARGIN, True),
    ("vaultWithdrawalCanceled", RefusalCode.CANCELED, True),
    ("openInterestCapCanceled", RefusalCode.OI_CAP, True),
    ("selfTradeCanceled", RefusalCode.SELF_TRADE, True),
    ("reduceOnlyCanceled", RefusalCode.REDUCE_ONLY, True),
    ("siblingFilledCanceled", RefusalCode.CANCELED, True),
    ("delistedCanceled", RefusalCode.DELISTED, True),
    ("liquidatedCanceled", RefusalCode.LIQUIDATED, True),
    ("outcomeSettledCanceled", RefusalCode.CANCELED, True),
    ("scheduledCancel", RefusalCode.SCHEDULED_CANCEL, True),
    ("internalCancel", RefusalCode.CANCELED, True),
    ("tickRejected", RefusalCode.TICK, True),
    ("minTradeNtlRejected", RefusalCode.MIN_NOTIONAL, True),
    ("perpMarginRejected", RefusalCode.MARGIN, True),
    ("reduceOnlyRejected", RefusalCode.REDUCE_ONLY, True),
    ("badAloPxRejected", RefusalCode.POST_ONLY_CROSSED, True),
    ("iocCancelRejected", RefusalCode.NO_MATCH, True),
    ("badTriggerPxRejected", RefusalCode.TRIGGER_PX, True),
    ("marketOrderNoLiquidityRejected", RefusalCode.NO_LIQUIDITY, True),
    ("positionIncreaseAtOpenInterestCapRejected", RefusalCode.OI_CAP, True),
    ("positionFlipAtOpenInterestCapRejected", RefusalCode.OI_CAP, True),
    ("tooAggressiveAtOpenInterestCapRejected", RefusalCode.OI_CAP, True),
    ("openInterestIncreaseRejected", RefusalCode.OI_TOO_QUICK, True),
    ("insufficientSpotBalanceRejected", RefusalCode.SPOT_BALANCE, True),
    ("oracleRejected", RefusalCode.FAR_FROM_ORACLE, True),
    ("perpMaxPositionRejected", RefusalCode.MARGIN_TIER, True),
    ("tooManyOpenOrdersRejected", RefusalCode.TOO_MANY_OPEN_ORDERS, True),
]


def texts_of_the_simulated_venue() -> list[str]:
    constants = [value for name, value in vars(venue).items() if name.isupper() and isinstance(value, str)]
    built = [
        venue.post_only_crosses("1", "2"),
        venue.far_from_reference(Decimal("0.8")),
        venue.unknown_signer(ADDRESS),
        venue.must_deposit(ADDRESS),
        venue.vault_unknown(ADDRESS),
        venue.duplicate_nonce(1),
        venue.low_nonce(1, 2),
        venue.nonce_out_of_window(1, 2),
        venue.nonce_mismatch(1, 2),
        venue.modify_placing_failed(venue.TICK),
        venue.too_many_schedules(10),
        venue.too_many_agents(3),
        venue.too_many_requests(2, 1, Decimal(5)),
        venue.schedule_cancel_volume(Decimal(2), Decimal(1)),
        venue.sub_account_volume(Decimal(1)),
        venue.unsupported("twapOrder"),
    ]
    return constants + built


@pytest.mark.parametrize(("text", "code"), DOCUMENTED_TEXTS)
def test_refusals_documented_text_has_its_code_with_and_without_the_asset(text: str, code: RefusalCode) -> None:
    assert code_of_text(text) is code
    assert code_of_text(f"{text} asset=110002") is code


def test_refusals_every_text_of_the_simulated_venue_is_known() -> None:
    functions = [
        name
        for name, value in vars(venue).items()
        if inspect.isfunction(value) and value.__module__ == venue.__name__ and not name.startswith("_")
    ]
    texts = texts_of_the_simulated_venue()

    # `of_asset` and `status_of` make no text of their own; a new function needs its example above.
    assert len(functions) - 2 == 16
    assert len(texts) > 60
    assert [text for text in texts if code_of_text(text) is RefusalCode.UNKNOWN] == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Something new.",
        "asset=110002",
        " Order has zero size.",
        "The order said: Order has zero size.",
        "Action of a new kind",
        "Order",
        "\x1b[31mOrder has zero size.",
        "\u202eOrder has zero size.",
        "x" * 1_000_000,
    ],
)
def test_refusals_text_that_only_resembles_one_is_unknown(text: str) -> None:
    assert code_of_text(text) is RefusalCode.UNKNOWN


@pytest.mark.parametrize(("status", "code", "over"), DOCUMENTED_STATUSES)
def test_refusals_documented_status_has_its_code_and_its_end(status: str, code: RefusalCode, over: bool) -> None:
    # `rejected` is the only one that keeps its reason to itself: the answer to the action has it.
    assert code_of_status(status) is code
    assert is_over(status) is over


@pytest.mark.parametrize(
    ("status", "code", "over"),
    [
        ("quantumCanceled", RefusalCode.CANCELED, True),
        ("quantumRejected", RefusalCode.UNKNOWN, True),
        ("someNewStatus", RefusalCode.UNKNOWN, False),
        ("", RefusalCode.UNKNOWN, False),
        ("Filled", RefusalCode.UNKNOWN, False),
        ("canceledMaybe", RefusalCode.UNKNOWN, False),
    ],
)
def test_refusals_undocumented_status_ends_an_order_by_its_suffix_only(
    status: str, code: RefusalCode, over: bool
) -> None:
    assert code_of_status(status) is code
    assert is_over(status) is over


def test_refusals_the_simulated_venues_statuses_agree_with_its_texts() -> None:
    # A client may hear of one refusal twice: by its text and by its status. Both must mean the same.
    for text, status in venue.STATUS_OF_TEXT.items():
        assert code_of_status(status) is code_of_text(text), status


@pytest.mark.parametrize(
    "text", ["x" * 1_000_000, "\x00\x1b[2J\r\n", "\u202egnp.exe", "\ud800", "é" * 500, "\U0001f4a9" * 300]
)
def test_printable_hostile_text_is_short_and_harmless(text: str) -> None:
    shown = printable(text, 200)

    assert 0 < len(shown) <= 200
    assert shown.isascii()
    assert shown.isprintable()


@given(text=st.text(max_size=300), length_max=st.integers(1, 250))
def test_printable_any_text_is_bounded_and_harmless(text: str, length_max: int) -> None:
    shown = printable(text, length_max)

    assert len(shown) <= length_max
    assert shown.isascii()
    assert shown.isprintable()


@given(text=st.text(max_size=300))
def test_refusals_any_text_and_status_has_a_code(text: str) -> None:
    assert code_of_text(text) in RefusalCode
    assert is_over(text) or code_of_status(text) in {RefusalCode.UNKNOWN, RefusalCode.NONE}
