import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from user_frame_builders import (
    CLOID,
    FRAMES,
    JSON_VALUES,
    USER,
    T,
    a_fill,
    a_frame,
    an_update,
    check_meaning,
    decoded,
    fills,
    is_storable,
    with_value,
)

from streaming.core.events import FrameMalformed
from streaming.core.market import Side
from streaming.core.trading.events import FillsReceived, FundingsReceived, OrderUpdatesReceived, TransfersReceived
from streaming.core.trading.model import Funding, OrderUpdate, VenueFill
from streaming.core.trading.refusal import RefusalCode


def a_ledger_item(**delta: object) -> str:
    item = {"time": T, "hash": "0x1f", "delta": delta}
    return a_frame("userNonFundingLedgerUpdates", {"user": USER, "nonFundingLedgerUpdates": [item]})


def moves(raw: str) -> list[tuple[str, Decimal]]:
    event = decoded(raw)
    assert isinstance(event, TransfersReceived), event
    return [(item.dex, item.amount) for item in event.transfers]


# --- fills


def test_user_fill_has_every_field_in_our_words() -> None:
    event = decoded(FRAMES["fills"])

    assert event == FillsReceived(
        recv_mono_ns=11,
        recv_ts_ns=22,
        generation=3,
        is_snapshot=False,
        fills=(
            VenueFill(
                coin="xyz:ALPHA",
                side=Side.SELL,
                px=Decimal("101.5"),
                sz=Decimal("0.25"),
                venue_ts_ms=T,
                oid=71,
                tid=9001,
                cloid=CLOID,
                fee=Decimal("0.002284"),
                builder_fee=Decimal("0.001"),
                fee_token="USDC",  # noqa: S106 - a currency
                start_position_sz=Decimal("0.25"),
                closed_pnl=Decimal("-1.25"),
                direction="Liquidated Isolated Long",
                is_crossed=True,
                is_liquidation=True,
            ),
        ),
    )


def test_user_fills_snapshot_is_told_from_an_increment() -> None:
    snapshot, empty = decoded(FRAMES["fills_snapshot"]), decoded(FRAMES["fills_empty"])

    assert isinstance(snapshot, FillsReceived)
    assert snapshot.is_snapshot
    assert [fill.is_liquidation for fill in snapshot.fills] == [False, False]
    assert isinstance(empty, FillsReceived)
    assert (empty.is_snapshot, empty.fills) == (False, ())


def test_user_fill_of_a_spot_market_with_float_artefacts_and_a_rebate_is_read() -> None:
    event = decoded(FRAMES["fills_snapshot"])

    assert isinstance(event, FillsReceived)
    fill = event.fills[1]
    assert (fill.coin, fill.cloid, fill.is_crossed) == ("@107", "", False)
    assert fill.start_position_sz == Decimal("-3695042.9")
    assert fill.fee == Decimal("-0.00012346")
    assert str(fill.closed_pnl) == "0"


@pytest.mark.parametrize(
    "changes",
    [
        {"px": "0"},
        {"px": "1.123456789"},
        {"px": 1.5},
        {"sz": "-1"},
        {"sz": "NaN"},
        {"fee": "1e5"},
        {"fee": None},
        {"fee": "10000000000"},
        {"startPosition": "inf"},
        {"startPosition": ...},
        {"closedPnl": "-10000000000.5"},
        {"closedPnl": "9999999999.999999999"},
        {"side": "C"},
        {"cloid": "0x12"},
        {"cloid": CLOID + "\n"},
        {"cloid": CLOID.replace("a", "g")},
        {"coin": "xyz:A\u202e"},
        {"coin": ""},
        {"tid": 2**63},
        {"time": 0},
        {"crossed": "true"},
    ],
)
def test_user_fill_that_can_not_be_is_malformed(changes: dict[str, object]) -> None:
    event = decoded(fills(a_fill(**changes)))

    assert isinstance(event, FrameMalformed)
    assert event.channel == "userFills"


def test_user_fill_texts_are_cut_and_escaped() -> None:
    event = decoded(fills(a_fill(dir="\u202e" * 100_000, feeToken="\x1b[31m")))

    assert isinstance(event, FillsReceived)
    direction, token = event.fills[0].direction, event.fills[0].fee_token
    assert direction.startswith("\\u202e")
    assert len(direction) <= 64
    assert token == "\\x1b[31m"  # noqa: S105 - a currency


@pytest.mark.parametrize("channel", ["user", "userEvents"])
def test_user_event_with_a_fill_that_can_not_be_is_malformed(channel: str) -> None:
    assert isinstance(decoded(a_frame(channel, {"fills": [a_fill(sz="-1")]})), FrameMalformed)
    assert not isinstance(decoded(a_frame(channel, {"fills": [a_fill()]})), FrameMalformed)


# --- orders


def test_order_update_says_what_is_left_and_what_it_means() -> None:
    event = decoded(FRAMES["order_filled"])

    assert event == OrderUpdatesReceived(
        recv_mono_ns=11,
        recv_ts_ns=22,
        generation=3,
        updates=(
            OrderUpdate(
                coin="xyz:ALPHA",
                cloid=CLOID,
                oid=71,
                side=Side.BUY,
                limit_px=Decimal("101.5"),
                left_sz=Decimal(0),
                original_sz=Decimal("0.25"),
                status="filled",
                code=RefusalCode.NONE,
                venue_ts_ms=T + 70,
            ),
            OrderUpdate(
                coin="xyz:ALPHA",
                cloid="",
                oid=72,
                side=Side.SELL,
                limit_px=Decimal("101.5"),
                left_sz=Decimal("0.25"),
                original_sz=Decimal("0.25"),
                status="open",
                code=RefusalCode.NONE,
                venue_ts_ms=T + 70,
            ),
        ),
    )


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("order_ioc_rejected", "iocCancelRejected", RefusalCode.NO_MATCH),
        ("order_new_status", "someNewStatus", RefusalCode.UNKNOWN),
    ],
)
def test_order_update_keeps_the_venues_word_beside_the_code(name: str, status: str, code: RefusalCode) -> None:
    event = decoded(FRAMES[name])

    assert isinstance(event, OrderUpdatesReceived)
    assert [(update.status, update.code) for update in event.updates] == [(status, code)]


def test_order_updates_may_be_none() -> None:
    event = decoded(FRAMES["order_updates_none"])

    assert isinstance(event, OrderUpdatesReceived)
    assert event.updates == ()


def test_order_update_hostile_status_is_cut_and_escaped() -> None:
    event = decoded(an_update("\x1b[2J" + "x" * 1_000_000))

    assert isinstance(event, OrderUpdatesReceived)
    assert event.updates[0].status.isprintable()
    assert len(event.updates[0].status) <= 64


@pytest.mark.parametrize(
    "changes", [{"limitPx": "0"}, {"sz": "-0.1"}, {"sz": "-0.0"}, {"origSz": "1e3"}, {"cloid": "x"}, {"oid": -1}]
)
def test_order_update_that_can_not_be_is_malformed(changes: dict[str, object]) -> None:
    event = decoded(an_update(**changes))

    assert isinstance(event, FrameMalformed)
    assert event.channel == "orderUpdates"


# --- money


def test_user_fundings_are_signed_as_received() -> None:
    event = decoded(FRAMES["fundings_snapshot"])

    assert isinstance(event, FundingsReceived)
    assert event.is_snapshot
    assert event.fundings == (
        Funding(coin="xyz:ALPHA", amount=Decimal("-0.010125"), position_sz=Decimal("1.5"), venue_ts_ms=T),
        Funding(coin="xyz:OMEGA", amount=Decimal("2.378343"), position_sz=Decimal("-15.0"), venue_ts_ms=T),
    )


def test_user_fundings_without_the_key_are_no_snapshot() -> None:
    event = decoded(FRAMES["fundings"])

    assert isinstance(event, FundingsReceived)
    assert not event.is_snapshot


def test_ledger_updates_are_signed_and_stand_on_their_dex() -> None:
    event = decoded(FRAMES["ledger_snapshot"])

    assert isinstance(event, TransfersReceived)
    assert event.is_snapshot
    assert [(item.kind, item.dex, item.amount) for item in event.transfers] == [
        ("deposit", "", Decimal("2703997.45")),
        ("withdraw", "", Decimal("-99.5")),
        ("accountClassTransfer", "", Decimal("-12.0")),
        ("accountClassTransfer", "", Decimal("13.0")),
        ("send", "", Decimal("-25.5")),
        ("send", "xyz", Decimal("25.5")),
        ("internalTransfer", "", Decimal("7.0")),
        ("internalTransfer", "", Decimal("-8.0")),
        ("spotTransfer", "", Decimal(0)),
    ]
    references = [item.reference for item in event.transfers]
    assert references[4] == references[5]
    assert len(set(references)) == len(references) - 1
    assert {item.venue_ts_ms for item in event.transfers} == {T}


@pytest.mark.parametrize(
    ("delta", "expected"),
    [
        ({"sourceDex": "spot", "destinationDex": "xyz", "destination": USER}, [("xyz", Decimal(5))]),
        ({"sourceDex": "xyz", "destinationDex": "spot", "destination": USER}, [("xyz", Decimal(-5))]),
        ({"sourceDex": "xyz", "destinationDex": "", "destination": "0xb2"}, [("xyz", Decimal(-5))]),
        ({"sourceDex": "spot", "destinationDex": "spot", "destination": USER}, [("", Decimal(0))]),
    ],
)
def test_ledger_send_counts_only_what_touches_a_dex_of_ours(
    delta: dict[str, object], expected: list[tuple[str, Decimal]]
) -> None:
    assert moves(a_ledger_item(type="send", amount="5", user=USER, **delta)) == expected


@pytest.mark.parametrize(
    ("delta", "expected"),
    [
        ({"type": "vaultDeposit", "vault": "0xb2", "usdc": "5.0"}, Decimal(-5)),
        ({"type": "vaultWithdraw", "requestedUsd": "9.0", "netWithdrawnUsd": "8.5"}, Decimal("8.5")),
        ({"type": "vaultDistribution", "usdc": "2.0"}, Decimal(2)),
        ({"type": "liquidation", "accountValue": "5.0", "liquidatedPositions": []}, Decimal(0)),
        ({"type": "rewardsClaim", "amount": "5.0"}, Decimal(0)),
    ],
)
def test_ledger_kinds_without_a_dex_are_about_the_validator_dex(delta: dict[str, object], expected: Decimal) -> None:
    assert moves(a_ledger_item(**delta)) == [("", expected)]


def test_ledger_new_kind_is_on_record_with_nothing_moved() -> None:
    event = decoded(FRAMES["ledger_new_kind"])

    assert isinstance(event, TransfersReceived)
    assert not event.is_snapshot
    assert [(item.kind, item.amount) for item in event.transfers] == [("somethingNew\\u202e", Decimal(0))]


@pytest.mark.parametrize(
    "delta",
    [
        {},
        {"type": 1},
        {"type": "deposit", "usdc": 5},
        {"type": "deposit", "usdc": "1e400"},
        {"type": "deposit", "usdc": "99999999999"},
        {"type": "send", "amount": "1", "sourceDex": "\x1b[31m"},
    ],
)
def test_ledger_item_of_a_known_kind_in_another_shape_is_malformed(delta: dict[str, object]) -> None:
    event = decoded(a_ledger_item(**delta))

    assert isinstance(event, FrameMalformed)
    assert event.channel == "userNonFundingLedgerUpdates"


# --- whatever comes


@settings(max_examples=500, derandomize=True, deadline=None)
@given(name=st.sampled_from(sorted(FRAMES)), at=st.integers(0, 200), value=JSON_VALUES)
def test_user_frame_with_any_value_in_any_place_keeps_its_promises(name: str, at: int, value: object) -> None:
    check_meaning(decoded(with_value(FRAMES[name], at, value)))


@settings(max_examples=500, derandomize=True, deadline=None)
@given(name=st.sampled_from(sorted(FRAMES)), cut=st.integers(0, 2_000), byte=st.integers(0, 255), is_cut=st.booleans())
def test_user_frame_corrupted_keeps_its_promises(name: str, cut: int, byte: int, is_cut: bool) -> None:
    raw = bytearray(FRAMES[name].encode())
    position = cut % len(raw)
    if is_cut:
        del raw[position:]
    else:
        raw[position] = byte
    check_meaning(decoded(bytes(raw)))


@settings(max_examples=300, derandomize=True, deadline=None)
@given(value=st.decimals(allow_nan=True, allow_infinity=True) | st.decimals("-9999999999", "9999999999", places=12))
def test_user_fill_amount_is_within_half_a_quantum_or_refused(value: Decimal) -> None:
    event = decoded(fills(a_fill(fee=str(value), startPosition=str(value))))
    if isinstance(event, FillsReceived):
        fill = event.fills[0]
        assert fill.fee == fill.start_position_sz
        assert abs(fill.fee - value) <= Decimal("5e-9")
        assert is_storable(fill.fee)
    else:
        assert isinstance(event, FrameMalformed)


def recorded(shared_data: Path, *names: str) -> list[dict[str, Any]]:
    bodies = []
    for name in names:
        cassette = yaml.safe_load((shared_data / "wire" / "sdk-cassettes" / name).read_text())
        for exchange in cassette["interactions"]:
            text = exchange["response"]["body"]["string"]
            bodies += json.loads(gzip.decompress(text) if isinstance(text, bytes) else text)
    return bodies


def test_user_fills_of_recorded_bodies_are_all_read(shared_data: Path) -> None:
    items = recorded(shared_data, "test_get_user_fills.yaml", "test_get_user_fills_by_time.yaml")

    # Some bodies are of 2023, before fills had a tid.
    event = decoded(fills(*({"tid": 1} | item for item in items)))

    assert len(items) > 100
    assert isinstance(event, FillsReceived)
    assert [(fill.coin, fill.px, fill.sz) for fill in event.fills] == [
        (item["coin"], Decimal(item["px"]), Decimal(item["sz"])) for item in items
    ]


def test_ledger_updates_of_recorded_bodies_are_all_read(shared_data: Path) -> None:
    items = recorded(shared_data, "test_user_non_funding_ledger_updates_without_end_time.yaml")

    event = decoded(a_frame("userNonFundingLedgerUpdates", {"user": USER, "nonFundingLedgerUpdates": items}))

    assert len(items) >= 5
    assert isinstance(event, TransfersReceived)
    assert [item.kind for item in event.transfers] == [item["delta"]["type"] for item in items]


def test_fundings_of_recorded_bodies_are_all_read(shared_data: Path) -> None:
    items = recorded(shared_data, "test_user_funding_history_without_end_time.yaml")

    payments = [item["delta"] | {"time": item["time"]} for item in items]
    event = decoded(a_frame("userFundings", {"user": USER, "fundings": payments}))

    assert items
    assert isinstance(event, FundingsReceived)
    assert [item.amount for item in event.fundings] == [Decimal(item["usdc"]) for item in payments]
