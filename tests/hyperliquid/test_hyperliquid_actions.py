"""What we send to the exchange endpoint: hashed as sent, spelled as documented."""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from streaming.core.market import Side
from streaming.core.rounding import floor_sz, is_legal_px, round_px_toward_safe
from streaming.hyperliquid import actions
from streaming.hyperliquid.actions import (
    Action,
    ActionError,
    Builder,
    CancelItem,
    NoopAction,
    OrderItem,
    ScheduleCancelAction,
    UpdateLeverageAction,
    approve_agent,
    cancel_action,
    cancel_by_cloid_action,
    cloid_item,
    order_action,
    order_item,
    post_frame,
    signed_body,
    user_signed_body,
)
from streaming.hyperliquid.number import positive_decimal
from streaming.hyperliquid.signing import (
    Signature,
    Signer,
    SigningError,
    action_hash,
    keccak,
    l1_digest,
    recover_address,
    user_signed_digest,
)
from streaming.sim.exchange.requests.actions import Unsupported, read_request

Json = Any
KEY = keccak(b"a key of tests")
SIGNER = Signer(KEY, is_mainnet=False)
CLOID = "0x" + "ab" * 16

wire_decimals = st.decimals("0.00000001", "9999999999.99999999", places=8)
cloids = st.binary(min_size=16, max_size=16).map(lambda raw: "0x" + raw.hex())
addresses = st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex())
ms = st.integers(0, 2**64 - 1)
asset_ids = st.integers(0, 2**31)


@st.composite
def order_items(draw: st.DrawFn) -> OrderItem:
    return order_item(
        asset_id=draw(asset_ids),
        side=draw(st.sampled_from(Side)),
        px=draw(wire_decimals),
        sz=draw(wire_decimals),
        is_reduce_only=draw(st.booleans()),
        tif=draw(st.sampled_from(["Ioc", "Gtc", "Alo"])),
        cloid=draw(st.none() | cloids),
    )


def some(items: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    return st.lists(items, min_size=1, max_size=4).map(tuple)


any_action: st.SearchStrategy[Action] = st.one_of(
    st.builds(order_action, some(order_items()), st.none() | st.builds(Builder, addresses, st.integers(0, 100))),
    st.builds(cancel_action, some(st.builds(CancelItem, asset_ids, ms))),
    st.builds(cancel_by_cloid_action, some(st.builds(cloid_item, asset_ids, cloids))),
    st.builds(ScheduleCancelAction, st.none() | ms),
    st.builds(UpdateLeverageAction, asset_ids, st.booleans(), st.integers(1, 50)),
    st.just(NoopAction()),
)


def an_item(**changes: Json) -> OrderItem:
    facts: Json = {
        "asset_id": 110_002, "side": Side.BUY, "px": Decimal("190.01"), "sz": Decimal("0.06"), "is_reduce_only": False,
        "tif": "Ioc",
    }  # fmt: skip
    return order_item(**(facts | changes))


def wire(action: object) -> Json:
    return json.loads(msgspec.json.encode(action))


def keys_of(value: Json) -> Json:
    """The nested key order of a decoded document."""
    if isinstance(value, dict):
        return [(key, keys_of(inner)) for key, inner in value.items()]
    return [keys_of(inner) for inner in value] if isinstance(value, list) else None


# --- spelling


@pytest.mark.parametrize(
    ("action", "text"),
    [
        (
            order_action((an_item(cloid=CLOID),), Builder("0x" + "0a" * 20, 10)),
            (
                '{"type":"order","orders":[{"a":110002,"b":true,"p":"190.01","s":"0.06","r":false,'
                f'"t":{{"limit":{{"tif":"Ioc"}}}},"c":"{CLOID}"}}],"grouping":"na",'
                f'"builder":{{"b":"0x{"0a" * 20}","f":10}}}}'
            ),
        ),
        (
            order_action((an_item(side=Side.SELL, tif="Alo", is_reduce_only=True, px=Decimal("1.20E+3")),)),
            (
                '{"type":"order","orders":[{"a":110002,"b":false,"p":"1200","s":"0.06","r":true,'
                '"t":{"limit":{"tif":"Alo"}}}],"grouping":"na"}'
            ),
        ),
        (cancel_action((CancelItem(1, 91),)), '{"type":"cancel","cancels":[{"a":1,"o":91}],"f":true}'),
        (
            cancel_by_cloid_action((cloid_item(1, CLOID),)),
            f'{{"type":"cancelByCloid","cancels":[{{"asset":1,"cloid":"{CLOID}"}}],"f":true}}',
        ),
        (ScheduleCancelAction(1790), '{"type":"scheduleCancel","time":1790}'),
        (ScheduleCancelAction(), '{"type":"scheduleCancel"}'),
        (NoopAction(), '{"type":"noop"}'),
        (
            UpdateLeverageAction(110_002, is_cross=False, leverage=10),
            '{"type":"updateLeverage","asset":110002,"isCross":false,"leverage":10}',
        ),
    ],
)
def test_action_is_spelled_as_documented_in_its_key_order(action: Action, text: str) -> None:
    assert msgspec.json.encode(action).decode() == text


@given(any_action)
def test_msgpack_and_json_of_an_action_have_the_same_keys_in_the_same_order(action: Action) -> None:
    packed = msgspec.msgpack.decode(msgspec.msgpack.encode(action))
    assert packed == wire(action)
    assert keys_of(packed) == keys_of(wire(action))


@given(any_action)
def test_no_option_is_ever_sent_as_null_or_as_a_false_flag(action: Action) -> None:
    def of(value: Json) -> list[Json]:
        inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        return [(key, inner) for key, inner in inside] + [found for _, inner in inside for found in of(inner)]

    assert not [key for key, value in of(wire(action)) if value is None or (key == "f" and value is False)]


@given(wire_decimals, wire_decimals)
def test_numbers_of_an_order_read_back_equal(px: Decimal, sz: Decimal) -> None:
    item = an_item(px=px, sz=sz)
    assert (positive_decimal(item.px), positive_decimal(item.sz)) == (px, sz)
    assert not {"E", "e", "-", "+"} & set(item.px + item.sz)


@given(st.sampled_from(Side), wire_decimals, wire_decimals, st.integers(0, 6))
def test_what_was_rounded_to_the_grid_is_on_the_grid_on_the_wire(
    side: Side, px: Decimal, sz: Decimal, sz_decimals: int
) -> None:
    rounded_px, rounded_sz = round_px_toward_safe(side, px, sz_decimals), floor_sz(sz, sz_decimals)
    if not rounded_px or not rounded_sz or rounded_px >= 10**10:
        return
    item = an_item(side=side, px=rounded_px, sz=rounded_sz)
    assert is_legal_px(Decimal(item.px), sz_decimals)
    assert Decimal(item.sz) == rounded_sz <= sz


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"px": Decimal(0)}, "px: expected a number > 0"),
        ({"px": Decimal(-1)}, "px: expected a number > 0"),
        ({"px": Decimal("NaN")}, "px: expected a number > 0"),
        ({"px": Decimal("Infinity")}, "px: expected a number > 0"),
        ({"px": Decimal("1e10")}, "px: expected a number > 0"),
        ({"sz": Decimal("0.123456789")}, "sz: expected a number > 0"),
        ({"sz": Decimal("-0")}, "sz: expected a number > 0"),
        ({"tif": "FrontendMarket"}, "tif: expected one of Ioc, Gtc, Alo"),
        ({"cloid": "0x" + "AB" * 16}, "cloid: expected"),
        ({"cloid": "ab" * 16}, "cloid: expected"),
        ({"cloid": "0x" + "ab" * 15}, "cloid: expected"),
        ({"cloid": CLOID + "\n"}, "cloid: expected"),
    ],
)
def test_order_with_a_value_that_the_wire_has_no_form_for_is_refused(changes: Json, said: str) -> None:
    with pytest.raises(ActionError, match=said):
        an_item(**changes)


@pytest.mark.parametrize(
    "make",
    [
        lambda: order_action(()),
        lambda: order_action((an_item(),) * 201),
        lambda: cancel_action(()),
        lambda: cancel_by_cloid_action((cloid_item(1, CLOID),) * 201),
        lambda: cloid_item(1, CLOID.upper()),
        lambda: order_action((an_item(),), Builder("0x" + "AB" * 20, 1)),
    ],
)
def test_action_that_the_venue_would_refuse_whole_is_not_made(make: Callable[[], object]) -> None:
    with pytest.raises(ActionError):
        make()


def test_float_wire_cases_of_the_official_client_are_spelled_alike(shared_data: Path) -> None:
    vectors = json.loads((shared_data / "vectors" / "signing_vectors.json").read_text())["float_to_wire_cases"]
    assert len(vectors["cases"]) >= 12
    for number, text in vectors["cases"]:
        assert an_item(px=Decimal(f"{number:.8f}")).px == text
    for number in vectors["raises"]:
        with pytest.raises(ActionError):
            an_item(px=Decimal(repr(number)))


# --- signing


@given(any_action, ms, st.none() | addresses, st.none() | ms, st.booleans())
def test_signed_body_carries_what_was_hashed_and_recovers_the_signer(
    action: Action, nonce: int, vault: str | None, expires_after: int | None, is_mainnet: bool
) -> None:
    signer = Signer(KEY, is_mainnet=is_mainnet)
    body = json.loads(signed_body(signer, action, nonce=nonce, vault=vault, expires_after_ts_ms=expires_after))
    assert list(body) == ["action", "nonce", "signature", "vaultAddress", "expiresAfter"]
    assert (body["nonce"], body["vaultAddress"], body["expiresAfter"]) == (nonce, vault, expires_after)
    digest = l1_digest(action_hash(body["action"], nonce, vault, expires_after), is_mainnet=is_mainnet)
    assert recover_address(digest, signature_of(body)) == signer.address


@given(any_action, ms, st.booleans())
def test_signature_of_a_random_action_equals_eth_account(action: Action, nonce: int, is_mainnet: bool) -> None:
    body = json.loads(signed_body(Signer(KEY, is_mainnet=is_mainnet), action, nonce=nonce))
    connection_id = keccak(msgspec.msgpack.encode(wire(action)) + nonce.to_bytes(8, "big") + b"\x00")
    assert signature_of(body) == eth_account_signature(
        domain={"name": "Exchange", "version": "1", "chainId": 1337},
        primary_type="Agent",
        fields=[("source", "string"), ("connectionId", "bytes32")],
        message={"source": "a" if is_mainnet else "b", "connectionId": connection_id},
    )


@given(any_action, st.integers(1, 2**63))
def test_simulated_exchange_reads_every_action_as_we_hashed_it(action: Action, nonce: int) -> None:
    request = read_request(json.loads(signed_body(SIGNER, action, nonce=nonce)))
    assert not isinstance(request.action, Unsupported)
    digest = l1_digest(action_hash(request.hashed, nonce, None, None), is_mainnet=False)
    assert recover_address(digest, request.signature) == SIGNER.address


@given(addresses, st.none() | st.integers(0, 2**63), ms, st.booleans())
def test_approval_of_an_agent_equals_eth_account(
    agent: str, valid_until: int | None, nonce: int, is_mainnet: bool
) -> None:
    action = approve_agent(
        agent_address=agent, name="bot", valid_until_ts_ms=valid_until, nonce=nonce, is_mainnet=is_mainnet
    )
    body = json.loads(user_signed_body(SIGNER, action))
    sent = body["action"]
    assert list(sent) == ["type", "signatureChainId", "hyperliquidChain", "agentAddress", "agentName", "nonce"]
    assert body["nonce"] == sent["nonce"] == nonce
    assert sent["hyperliquidChain"] == ("Mainnet" if is_mainnet else "Testnet")
    assert sent["agentName"] == ("bot" if valid_until is None else f"bot valid_until {valid_until}")
    assert recover_address(user_signed_digest(sent), signature_of(body)) == SIGNER.address
    assert signature_of(body) == eth_account_signature(
        domain={"name": "HyperliquidSignTransaction", "version": "1", "chainId": 0x66EEE},
        primary_type="HyperliquidTransaction:ApproveAgent",
        fields=[
            ("hyperliquidChain", "string"), ("agentAddress", "address"), ("agentName", "string"), ("nonce", "uint64"),
        ],
        message={key: sent[key] for key in ("hyperliquidChain", "agentAddress", "agentName", "nonce")},
    )  # fmt: skip


@pytest.mark.parametrize("name", ["", "a" * 17, "bot\n", "valid_until 5"])
def test_approval_under_a_name_out_of_form_is_refused(name: str) -> None:
    with pytest.raises(ActionError, match="agent name"):
        approve_agent(agent_address=SIGNER.address, name=name, valid_until_ts_ms=None, nonce=1, is_mainnet=False)


def test_approval_of_what_is_no_address_is_refused() -> None:
    with pytest.raises(ActionError, match="agent address"):
        approve_agent(agent_address="0x12", name="bot", valid_until_ts_ms=None, nonce=1, is_mainnet=False)


@pytest.mark.parametrize(
    "facts", [{"nonce": -1}, {"nonce": 1, "vault": "0x1"}, {"nonce": 1, "expires_after_ts_ms": -1}]
)
def test_request_with_a_number_or_address_out_of_form_is_not_signed(facts: Json) -> None:
    with pytest.raises(SigningError):
        signed_body(SIGNER, NoopAction(), **facts)


def test_post_frame_carries_the_very_body_that_http_would() -> None:
    body = signed_body(SIGNER, order_action((an_item(),)), nonce=5, expires_after_ts_ms=9)
    assert body == signed_body(SIGNER, order_action((an_item(),)), nonce=5, expires_after_ts_ms=9)
    frame = post_frame(256, body)
    assert body in frame
    assert json.loads(frame) == {
        "method": "post", "id": 256, "request": {"type": "action", "payload": json.loads(body)},
    }  # fmt: skip


def test_published_orders_have_the_published_hash_as_our_structs(shared_data: Path) -> None:
    """Every published action that we can send, made by our own functions, has the published hash."""
    vectors = json.loads((shared_data / "vectors" / "signing_vectors.json").read_text())["vectors"]
    same_count = 0
    for vector in vectors:
        action = ours(vector["action"]) if vector["kind"] == "l1" else None
        if action is None:
            continue
        hashed = action_hash(action, vector["nonce"], vector["vault_address"], vector["expires_after"])
        assert f"0x{hashed.hex()}" == vector.get("action_hash", vector.get("action_hash_computed")), vector["id"]
        for network in ("mainnet", "testnet"):
            if network in vector:
                signer = Signer(bytes.fromhex(vector["private_key"][2:]), is_mainnet=network == "mainnet")
                body = json.loads(signed_body(signer, action, nonce=vector["nonce"]))
                assert body["action"] == vector["action"]
                assert signature_of(body) == signature_of({"signature": vector[network]}), vector["id"]
        same_count += 1
    assert same_count == 9


def ours(published: Json) -> Action | None:
    """A published action made by our functions; None where it is of a kind that we never send."""
    if published["type"] == "scheduleCancel":
        return ScheduleCancelAction(published.get("time"))
    if published["type"] != "order" or any("trigger" in order["t"] for order in published["orders"]):
        return None
    return order_action(
        tuple(
            order_item(
                asset_id=order["a"],
                side=Side.BUY if order["b"] else Side.SELL,
                px=Decimal(order["p"]),
                sz=Decimal(order["s"]),
                is_reduce_only=order["r"],
                tif=order["t"]["limit"]["tif"],
                cloid=order.get("c"),
            )
            for order in published["orders"]
        )
    )


def signature_of(body: Json) -> Signature:
    signature = body["signature"]
    return Signature(int(signature["r"], 16), int(signature["s"], 16), signature["v"])


def eth_account_signature(
    *, domain: Json, primary_type: str, fields: list[tuple[str, str]], message: Json
) -> Signature:
    domain_fields = [
        ("name", "string"), ("version", "string"), ("chainId", "uint256"), ("verifyingContract", "address"),
    ]  # fmt: skip
    full = {
        "domain": domain | {"verifyingContract": f"0x{0:040x}"},
        "types": {
            primary_type: [{"name": name, "type": kind} for name, kind in fields],
            "EIP712Domain": [{"name": name, "type": kind} for name, kind in domain_fields],
        },
        "primaryType": primary_type,
        "message": message,
    }
    theirs = Account.from_key(KEY).sign_message(encode_typed_data(full_message=full))
    return Signature(theirs.r, theirs.s, theirs.v)


def test_batch_limit_is_the_venues() -> None:
    assert actions.ITEM_COUNT_MAX == 200
    assert len(order_action((an_item(),) * 200).orders) == 200
