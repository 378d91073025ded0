import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.hyperliquid.signing import action_hash
from streaming.sim.exchange.requests import account_actions as act
from streaming.sim.exchange.requests import actions, refusals
from streaming.sim.exchange.requests.actions import SignedRequest, Unreadable, read_request

Json = Any
USER = f"0x{'ab' * 20}"
CLOID = "0x0000000000000000000000000000000a"
ITEM = {"a": 110_002, "b": True, "p": "190.01", "s": "0.06", "r": False, "t": {"limit": {"tif": "Ioc"}}}
TRIGGER = {"isMarket": True, "triggerPx": "103", "tpsl": "sl"}
ORDER = {"type": "order", "orders": [ITEM], "grouping": "na"}
SIGNED = {"signatureChainId": "0x66eee", "hyperliquidChain": "Testnet"}
EXAMPLES: list[Json] = [
    ORDER,
    {"type": "order", "orders": [ITEM | {"c": CLOID}], "grouping": {"p": 80_000}, "builder": {"b": USER, "f": 10}},
    {"type": "order", "orders": [], "grouping": "normalTpsl"},
    {
        "type": "order",
        "orders": [ITEM | {"t": {"trigger": TRIGGER}}],
        "grouping": "positionTpsl",
    },
    {"type": "cancel", "cancels": [{"a": 110_002, "o": 91_490_942}], "f": True},
    {"type": "cancelByCloid", "cancels": [{"asset": 110_002, "cloid": CLOID}]},
    {"type": "modify", "oid": 123, "order": ITEM, "a": True},
    {"type": "modify", "oid": CLOID, "order": ITEM},
    {"type": "batchModify", "modifies": [{"oid": 123, "order": ITEM}, {"oid": CLOID, "order": ITEM}]},
    {"type": "scheduleCancel", "time": 1_790_000_005_000},
    {"type": "scheduleCancel"},
    {"type": "updateLeverage", "asset": 110_002, "isCross": False, "leverage": 10},
    {"type": "updateIsolatedMargin", "asset": 173, "isBuy": True, "ntli": -2_000_000},
    {"type": "topUpIsolatedOnlyMargin", "asset": 110_002, "leverage": "5"},
    {"type": "noop"},
    {"type": "reserveRequestWeight", "weight": 1_000},
    {"type": "reserveRequestWeight", "weight": 1_000, "destination": USER},
    {"type": "setReferrer", "code": "X"},
    {"type": "createSubAccount", "name": "x"},
    {"type": "agentEnableDexAbstraction"},
    {"type": "agentSetAbstraction", "abstraction": "i"},
    {
        "type": "agentSendAsset", "destination": USER, "sourceDex": "", "destinationDex": "xyz", "token": "USDC:0x6d1e",
        "amount": "10", "fromSubAccount": "", "nonce": 1,
    },
]  # fmt: skip
USER_SIGNED_EXAMPLES: list[Json] = [
    {"type": "approveAgent", "agentAddress": USER, "agentName": "bot", "nonce": 1},
    {"type": "approveAgent", "agentAddress": USER, "nonce": 1},
    {"type": "approveBuilderFee", "maxFeeRate": "0.001%", "builder": USER, "nonce": 1},
    {"type": "usdClassTransfer", "amount": "1", "toPerp": True, "nonce": 1},
    {"type": "usdSend", "destination": USER, "amount": "1", "time": 1},
    {"type": "withdraw3", "destination": USER, "amount": "1", "time": 1},
    {
        "type": "sendAsset", "destination": USER, "sourceDex": "spot", "destinationDex": "xyz", "token": "USDC:0x6d1e",
        "amount": "100", "fromSubAccount": "", "nonce": 1,
    },
    {"type": "userSetAbstraction", "user": USER, "abstraction": "unifiedAccount", "nonce": 1},
    {"type": "userDexAbstraction", "user": USER, "enabled": True, "nonce": 1},
]  # fmt: skip


def body(action: Json, **changes: Json) -> Json:
    signature = {"r": "0x1", "s": "0x2", "v": 27}
    return {"action": action, "nonce": 7, "signature": signature, "vaultAddress": None, "expiresAfter": None} | changes


def read(action: Json, **changes: Json) -> SignedRequest:
    return read_request(body(action, **changes))


def hash_of(request: SignedRequest) -> bytes:
    return action_hash(request.hashed, request.nonce, request.vault, request.expires_after)


@pytest.mark.parametrize("action", EXAMPLES, ids=lambda action: action["type"])
def test_read_request_of_a_documented_action_is_hashed_as_sent(action: Json) -> None:
    request = read(action)
    assert not isinstance(request.action, actions.Unsupported)
    assert not request.is_user_signed
    assert hash_of(request) == action_hash(action, 7, None, None)


@pytest.mark.parametrize("action", USER_SIGNED_EXAMPLES, ids=lambda action: action["type"])
def test_read_request_of_a_user_signed_action_keeps_what_was_sent(action: Json) -> None:
    sent = {**action, **SIGNED}
    request = read(sent)
    assert isinstance(request.action, act.UserSignedAction)
    assert request.is_user_signed
    assert request.raw_action == sent


def test_every_supported_action_is_among_the_examples() -> None:
    read_types = {type(read(action).action) for action in EXAMPLES}
    read_types |= {type(read({**action, **SIGNED}).action) for action in USER_SIGNED_EXAMPLES}
    union = actions.SupportedAction
    assert read_types == set(union.__args__)


def test_recorded_actions_of_the_signing_vectors_are_hashed_as_published(shared_data: Path) -> None:
    vectors = json.loads((shared_data / "vectors" / "signing_vectors.json").read_text())["vectors"]
    read_count = 0
    for vector in vectors:
        if vector["kind"] != "l1" or vector["action"]["type"] == "dummy":
            continue
        request = read(
            vector["action"],
            nonce=vector["nonce"],
            vaultAddress=vector["vault_address"],
            expiresAfter=vector["expires_after"],
        )
        published = vector.get("action_hash", vector.get("action_hash_computed"))
        assert f"0x{hash_of(request).hex()}" == published, vector["id"]
        read_count += 1
    assert read_count == 12


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ({"type": "cancel", "cancels": [], "f": False}, {"type": "cancel", "cancels": []}),
        ({"type": "modify", "oid": 1, "order": ITEM, "a": False}, {"type": "modify", "oid": 1, "order": ITEM}),
        (ORDER | {"builder": None}, ORDER),
        ({"type": "scheduleCancel", "time": None}, {"type": "scheduleCancel"}),
        ({"type": "order", "orders": [ITEM | {"c": None}], "grouping": "na"}, ORDER),
        (ORDER | {"unheardOf": 1}, ORDER),
        ({"grouping": "na", "type": "order", "orders": [dict(reversed(ITEM.items()))]}, ORDER),
        (ORDER | {"builder": {"b": USER.upper().replace("X", "x"), "f": 1}}, ORDER | {"builder": {"b": USER, "f": 1}}),
        (
            {"type": "reserveRequestWeight", "weight": 1, "destination": f"0x{'AB' * 20}"},
            {"type": "reserveRequestWeight", "weight": 1, "destination": USER},
        ),
    ],
)
def test_hash_is_of_the_documented_form_whatever_was_sent(sent: Json, meant: Json) -> None:
    assert hash_of(read(sent)) == action_hash(meant, 7, None, None)
    assert hash_of(read(sent)) != action_hash(sent, 7, None, None)


@pytest.mark.parametrize("type_name", sorted(actions.UNSUPPORTED))
def test_action_that_is_not_offered_is_readable_and_hashed_as_sent(type_name: str) -> None:
    sent = {"type": type_name, "whatever": [1, {"x": None}]}
    request = read(sent)
    assert request.action == actions.Unsupported(type_name)
    assert request.hashed == sent
    assert type_name in refusals.unsupported(type_name)


@pytest.mark.parametrize(
    "changed",
    [
        {"type": "orders"},
        {"type": None},
        {"type": ["order"]},
        {"orders": None},
        {"orders": [ITEM | {"p": 190.01}]},
        {"orders": [ITEM | {"p": "1e5"}]},
        {"orders": [ITEM | {"p": "NaN"}]},
        {"orders": [ITEM | {"p": " 190"}]},
        {"orders": [ITEM | {"s": "1\n"}]},
        {"orders": [ITEM | {"a": "110002"}]},
        {"orders": [ITEM | {"a": -1}]},
        {"orders": [ITEM | {"a": 2**32}]},
        {"orders": [ITEM | {"a": 1.5}]},
        {"orders": [ITEM | {"b": 1}]},
        {"orders": [ITEM | {"t": {"limit": {"tif": "ioc"}}}]},
        {"orders": [ITEM | {"t": {"limit": {"tif": "LiquidationMarket"}}}]},
        {"orders": [ITEM | {"t": {}}]},
        {"orders": [ITEM | {"t": {"limit": {"tif": "Ioc"}} | {"trigger": TRIGGER}}]},
        {"orders": [ITEM | {"t": {"trigger": TRIGGER | {"tpsl": "stop"}}}]},
        {"orders": [ITEM | {"c": "0x1"}]},
        {"orders": [{key: value for key, value in ITEM.items() if key != "r"}]},
        {"grouping": "all"},
        {"grouping": {"p": -1}},
        {"grouping": {"p": 100_000_001}},
        {"builder": {"b": "0x12", "f": 1}},
    ],
)  # fmt: skip
def test_read_request_of_a_malformed_order_is_unreadable(changed: Json) -> None:
    with pytest.raises(Unreadable, match="Failed to deserialize the JSON body into the target type"):
        read(ORDER | changed)


@pytest.mark.parametrize(
    "changed",
    [
        {"action": None},
        {"action": []},
        {"action": {}},
        {"nonce": "7"},
        {"nonce": -1},
        {"nonce": 2**64},
        {"nonce": 1.5},
        {"nonce": True},
        {"signature": "0x12"},
        {"signature": {"r": "0x1", "s": "0x2"}},
        {"signature": {"r": "0x1", "s": "0x2", "v": "27"}},
        {"signature": {"r": "1", "s": "0x2", "v": 27}},
        {"signature": {"r": "0x", "s": "0x2", "v": 27}},
        {"signature": {"r": f"0x{'1' * 65}", "s": "0x2", "v": 27}},
        {"vaultAddress": "0x12"},
        {"vaultAddress": ""},
        {"expiresAfter": "7"},
        {"expiresAfter": 2**64},
    ],
)
def test_read_request_of_a_malformed_envelope_is_unreadable(changed: Json) -> None:
    with pytest.raises(Unreadable):
        read_request(body(ORDER) | changed)


@pytest.mark.parametrize("sent", [None, 1, "x", [], {}, [body(ORDER)]])
def test_read_request_of_no_object_is_unreadable(sent: Json) -> None:
    with pytest.raises(Unreadable):
        read_request(sent)


def test_read_request_without_optional_keys_has_neither_vault_nor_expiry() -> None:
    sent = {key: value for key, value in body(ORDER).items() if key not in {"vaultAddress", "expiresAfter"}}
    request = read_request(sent)
    assert (request.vault, request.expires_after) == (None, None)


def test_read_request_takes_a_signature_with_stripped_or_padded_digits() -> None:
    stripped = read(ORDER, signature={"r": "0x53", "s": "0x75", "v": 28}).signature
    padded = read(ORDER, signature={"r": f"0x{0x53:064x}", "s": f"0x{0x75:064X}", "v": 28}).signature
    assert stripped == padded


@pytest.mark.parametrize(
    ("action", "count", "is_cancel"),
    [
        ({"type": "order", "orders": [ITEM] * 3, "grouping": "na"}, 3, False),
        ({"type": "cancel", "cancels": [{"a": 1, "o": 1}] * 4}, 4, True),
        ({"type": "cancelByCloid", "cancels": [{"asset": 1, "cloid": CLOID}] * 5}, 5, True),
        ({"type": "batchModify", "modifies": [{"oid": 1, "order": ITEM}] * 6}, 6, False),
        ({"type": "noop"}, 1, False),
        ({"type": "twapOrder"}, 1, False),
    ],
)
def test_request_count_is_the_number_of_items(action: Json, count: int, is_cancel: bool) -> None:
    request = read(action)
    assert (request.request_count, request.is_cancel) == (count, is_cancel)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.data())
def test_read_request_of_a_damaged_body_is_read_or_unreadable(data: st.DataObject) -> None:
    sent = copy.deepcopy(body(data.draw(st.sampled_from(EXAMPLES))))
    node: Json = sent
    while True:
        key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        if not isinstance(node[key], dict | list) or not node[key] or data.draw(st.booleans()):
            break
        node = node[key]
    node[key] = data.draw(_json)
    try:
        request = read_request(sent)
    except Unreadable:
        return
    assert request.type_name == sent["action"]["type"]
