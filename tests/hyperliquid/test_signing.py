import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from streaming.hyperliquid.signing import (
    USER_SIGNED,
    Field,
    Signature,
    Signer,
    SigningError,
    action_hash,
    address_of_key,
    keccak,
    l1_digest,
    recover_address,
    sign_digest,
    typed_digest,
    user_signed_digest,
)

Json = Any
VECTOR_COUNT = 20
KINDS = {"l1": 14, "user_signed": 3, "multi_sig": 3}
PUBLISHED_KEY = "0x0123456789012345678901234567890123456789012345678901234567890123"
DOMAIN_FIELDS = [
    {"name": "name", "type": "string"},
    {"name": "version", "type": "string"},
    {"name": "chainId", "type": "uint256"},
    {"name": "verifyingContract", "type": "address"},
]

_address = st.binary(min_size=20, max_size=20).map(lambda raw: f"0x{raw.hex()}")
_VALUES: dict[str, st.SearchStrategy[Json]] = {
    "string": st.text(st.characters(codec="utf-8"), max_size=40),
    "address": _address,
    "bool": st.booleans(),
    "uint64": st.integers(0, 2**64 - 1),
}


@pytest.fixture(scope="session")
def vectors(shared_data: Path) -> Json:
    return json.loads((shared_data / "vectors" / "signing_vectors.json").read_text())


def of_kind(vectors: Json, kind: str) -> list[Json]:
    found = [vector for vector in vectors["vectors"] if vector["kind"] == kind]
    assert len(found) == KINDS[kind]
    return found


def key_bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def as_signature(body: Json) -> Signature:
    return Signature(int(body["r"], 16), int(body["s"], 16), body["v"])


def check(digest: bytes, key: str, published: Json) -> None:
    """Our signature is the published one, and the published one recovers the key's address."""
    assert sign_digest(digest, key_bytes(key)) == as_signature(published)
    assert recover_address(digest, as_signature(published)) == address_of_key(key_bytes(key))


def test_vectors_of_the_file_are_all_covered_here(vectors: Json) -> None:
    assert len(vectors["vectors"]) == VECTOR_COUNT == sum(KINDS.values())


def test_address_of_key_equals_the_published_addresses(vectors: Json) -> None:
    assert {key: address_of_key(key_bytes(key)) for key in vectors["addresses"]} == vectors["addresses"]


def test_l1_action_equals_every_published_hash_and_signature(vectors: Json) -> None:
    signed_count = 0
    for vector in of_kind(vectors, "l1"):
        hashed = action_hash(vector["action"], vector["nonce"], vector["vault_address"], vector["expires_after"])
        assert f"0x{hashed.hex()}" == vector.get("action_hash", vector.get("action_hash_computed")), vector["id"]
        for network in ("mainnet", "testnet"):
            if network in vector:
                digest = l1_digest(hashed, is_mainnet=network == "mainnet")
                check(digest, vector["private_key"], vector[network])
                signed_count += 1
    assert signed_count == 20


def test_user_signed_action_equals_every_published_digest_and_signature(vectors: Json) -> None:
    for vector in of_kind(vectors, "user_signed"):
        name = vector["primary_type"].removeprefix("HyperliquidTransaction:")
        (wire_type,) = [wire for wire, shape in USER_SIGNED.items() if shape.name == name]
        action = {"type": wire_type, "signatureChainId": vector["signature_chain_id"], **vector["message"]}
        digest = user_signed_digest(action)
        assert f"0x{digest.hex()}" == vector["eip712_digest_computed"]
        check(digest, vector["private_key"], vector["signature"])


def test_multi_sig_vectors_equal_every_published_signature(vectors: Json) -> None:
    for vector in of_kind(vectors, "multi_sig"):
        key, payload = vector["private_key"], vector["wrapper"]["payload"]
        is_mainnet = vector["network"] == "mainnet"
        check(multi_sig_inner_digest(vector), key, vector["inner_signature"])
        wrapper = {name: value for name, value in vector["wrapper"].items() if name != "type"}
        envelope = {
            "hyperliquidChain": "Mainnet" if is_mainnet else "Testnet",
            "multiSigActionHash": action_hash(wrapper, vector["nonce"], None, None),
            "nonce": vector["nonce"],
        }
        fields = [
            Field("hyperliquidChain", "string"), Field("multiSigActionHash", "bytes32"), Field("nonce", "uint64"),
        ]  # fmt: skip
        check(typed_digest("SendMultiSig", fields, envelope, 0x66EEE), key, vector["outer_signature"])
        assert payload["outerSigner"] == address_of_key(key_bytes(key))


def multi_sig_inner_digest(vector: Json) -> bytes:
    inner, payload = vector["inner"], vector["wrapper"]["payload"]
    if inner["kind"] == "l1":
        hashed = action_hash(inner["hashed_value"], vector["nonce"], None, None)
        return l1_digest(hashed, is_mainnet=vector["network"] == "mainnet")
    message = inner.get("signed_message", payload["action"]) | {
        "payloadMultiSigUser": payload["multiSigUser"],
        "outerSigner": payload["outerSigner"],
    }
    fields = [Field(name, kind) for name, kind in inner["types"]]
    name = inner["primary_type"].removeprefix("HyperliquidTransaction:")
    return typed_digest(name, fields, message, 0x66EEE)


def test_keccak_of_nothing_is_the_well_known_one() -> None:
    assert keccak(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"


@st.composite
def user_signed_actions(draw: st.DrawFn) -> dict[str, Json]:
    wire_type = draw(st.sampled_from(sorted(USER_SIGNED)))
    action = {"type": wire_type, "signatureChainId": hex(draw(st.integers(1, 2**63)))}
    return action | {field.name: draw(_VALUES[field.kind]) for field in USER_SIGNED[wire_type].fields}


@given(user_signed_actions(), st.binary(min_size=32, max_size=32))
def test_user_signed_digest_and_signature_equal_eth_account(action: dict[str, Json], seed: bytes) -> None:
    key = keccak(seed)
    shape = USER_SIGNED[action["type"]]
    primary = f"HyperliquidTransaction:{shape.name}"
    full = {
        "domain": {
            "name": "HyperliquidSignTransaction",
            "version": "1",
            "chainId": int(action["signatureChainId"], 16),
            "verifyingContract": f"0x{0:040x}",
        },
        "types": {
            primary: [{"name": field.name, "type": field.kind} for field in shape.fields],
            "EIP712Domain": DOMAIN_FIELDS,
        },
        "primaryType": primary,
        "message": {field.name: action[field.name] for field in shape.fields},
    }
    theirs = Account.from_key(key).sign_message(encode_typed_data(full_message=full))
    digest = user_signed_digest(action)
    assert digest == bytes(theirs.message_hash)
    assert sign_digest(digest, key) == Signature(theirs.r, theirs.s, theirs.v)
    assert recover_address(digest, Signature(theirs.r, theirs.s, theirs.v)) == address_of_key(key)
    assert address_of_key(key) == Account.from_key(key).address.lower()


@given(st.binary(min_size=32, max_size=32), st.booleans())
def test_l1_digest_equals_eth_account(connection_id: bytes, is_mainnet: bool) -> None:
    full = {
        "domain": {"name": "Exchange", "version": "1", "chainId": 1337, "verifyingContract": f"0x{0:040x}"},
        "types": {
            "Agent": [{"name": "source", "type": "string"}, {"name": "connectionId", "type": "bytes32"}],
            "EIP712Domain": DOMAIN_FIELDS,
        },
        "primaryType": "Agent",
        "message": {"source": "a" if is_mainnet else "b", "connectionId": connection_id},
    }
    theirs = Account.from_key(PUBLISHED_KEY).sign_message(encode_typed_data(full_message=full))
    assert l1_digest(connection_id, is_mainnet=is_mainnet) == bytes(theirs.message_hash)


def test_agent_name_that_is_absent_is_signed_as_empty() -> None:
    action: dict[str, Json] = {
        "type": "approveAgent", "signatureChainId": "0x66eee", "hyperliquidChain": "Testnet",
        "agentAddress": f"0x{'ab' * 20}", "nonce": 1,
    }  # fmt: skip
    assert user_signed_digest(action) == user_signed_digest(action | {"agentName": ""})
    assert user_signed_digest(action) == user_signed_digest(action | {"agentName": None})
    assert user_signed_digest(action) != user_signed_digest(action | {"agentName": "bot"})


@pytest.mark.parametrize(
    "other",
    [
        {"nonce": 2},
        {"vault": f"0x{'00' * 20}"},
        {"expires_after": 0},
        {"action": {"type": "noop", "a": False}},
    ],
)
def test_action_hash_depends_on_everything_that_is_signed(other: dict[str, Json]) -> None:
    facts: dict[str, Json] = {"action": {"type": "noop"}, "nonce": 1, "vault": None, "expires_after": None}
    assert action_hash(**facts) != action_hash(**(facts | other))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"type": "order"}, "not signed as typed data"),
        ({"type": 5}, "not signed as typed data"),
        ({"signatureChainId": 421614}, "signatureChainId"),
        ({"signatureChainId": "0xzz"}, "signatureChainId"),
        ({"amount": 1}, "amount: expected a string"),
        ({"amount": "\ud800"}, "amount: expected text"),
        ({"toPerp": 1}, "toPerp: expected true or false"),
        ({"nonce": -1}, "nonce: expected an unsigned"),
        ({"nonce": True}, "nonce: expected an unsigned"),
        ({"nonce": 2**64}, "nonce: expected an unsigned"),
        ({"hyperliquidChain": None}, "hyperliquidChain: expected a string"),
    ],
)
def test_user_signed_digest_of_a_malformed_action_names_the_field(changes: dict[str, Json], said: str) -> None:
    action = {
        "type": "usdClassTransfer", "signatureChainId": "0x66eee", "hyperliquidChain": "Testnet", "amount": "1",
        "toPerp": True, "nonce": 1,
    }  # fmt: skip
    assert user_signed_digest(action)
    with pytest.raises(SigningError, match=said):
        user_signed_digest(action | changes)


def test_typed_digest_without_a_field_or_of_an_unknown_kind_raises() -> None:
    with pytest.raises(SigningError, match="nonce: absent"):
        typed_digest("X", [Field("nonce", "uint64")], {}, 1)
    with pytest.raises(SigningError, match="of unknown kind uint7"):
        typed_digest("X", [Field("nonce", "uint7")], {"nonce": 1}, 1)
    with pytest.raises(SigningError, match="32 bytes"):
        typed_digest("X", [Field("h", "bytes32")], {"h": b"short"}, 1)


@pytest.mark.parametrize(
    ("action", "nonce", "vault"),
    [
        ({"type": "noop"}, -1, None),
        ({"type": "noop"}, 1, "0x12"),
        ({"type": "noop"}, 1, f"0x{'zz' * 20}"),
        ({"type": {1, 2}.__iter__()}, 1, None),
        ({"type": 2**70}, 1, None),
        ({"type": "\ud800"}, 1, None),
    ],
)
def test_action_hash_of_what_has_no_form_raises(action: Json, nonce: int, vault: str | None) -> None:
    with pytest.raises(SigningError):
        action_hash(action, nonce, vault, None)


@pytest.mark.parametrize("v", [0, 1, 26, 29, 255])
def test_recover_address_of_another_v_is_none(v: int) -> None:
    digest = keccak(b"x")
    good = sign_digest(digest, key_bytes(PUBLISHED_KEY))
    assert recover_address(digest, Signature(good.r, good.s, v)) is None


@pytest.mark.parametrize("bad", [0, 2**256 - 1, 2**300])
def test_recover_address_of_numbers_out_of_range_is_none(bad: int) -> None:
    digest = keccak(b"x")
    good = sign_digest(digest, key_bytes(PUBLISHED_KEY))
    assert recover_address(digest, Signature(bad, good.s, good.v)) is None
    assert recover_address(digest, Signature(good.r, bad, good.v)) is None


@given(st.binary(min_size=32, max_size=32), st.integers(0, 2**256 - 1), st.integers(0, 2**256 - 1))
def test_recover_address_of_any_numbers_returns_an_address_or_none(digest: bytes, r: int, s: int) -> None:
    address = recover_address(digest, Signature(r, s, 27))
    assert address is None or (len(address) == 42 and address == address.lower())


@given(st.binary(min_size=32, max_size=32))
def test_sign_digest_has_low_s_and_a_body_of_full_length(digest: bytes) -> None:
    signature = sign_digest(digest, key_bytes(PUBLISHED_KEY))
    assert signature.s <= 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
    body = signature.body
    assert len(str(body["r"])) == len(str(body["s"])) == 66
    assert as_signature(body) == signature


def test_signer_equals_the_published_signatures_on_both_networks(vectors: Json) -> None:
    for vector in of_kind(vectors, "l1"):
        packed = msgspec.msgpack.encode(vector["action"])
        for network in ("mainnet", "testnet"):
            if network in vector:
                signer = Signer(key_bytes(vector["private_key"]), is_mainnet=network == "mainnet")
                signed = signer.sign_l1(packed, vector["nonce"], vector["vault_address"], vector["expires_after"])
                assert signed == as_signature(vector[network]), vector["id"]
    for vector in of_kind(vectors, "user_signed"):
        name = vector["primary_type"].removeprefix("HyperliquidTransaction:")
        (wire_type,) = [wire for wire, shape in USER_SIGNED.items() if shape.name == name]
        action = {"type": wire_type, "signatureChainId": vector["signature_chain_id"], **vector["message"]}
        signer = Signer(key_bytes(vector["private_key"]), is_mainnet=False)
        assert signer.sign_user_action(action) == as_signature(vector["signature"])


@given(
    key=st.binary(min_size=32, max_size=32).map(keccak),
    action=st.dictionaries(st.text(max_size=8), st.integers(0, 2**63) | st.text(max_size=8) | st.booleans()),
    nonce=st.integers(0, 2**64 - 1),
    vault=st.none() | _address,
    expires_after=st.none() | st.integers(0, 2**64 - 1),
    is_mainnet=st.booleans(),
)
def test_signer_equals_hash_digest_and_signature_step_by_step(
    key: bytes, action: Json, nonce: int, vault: str | None, expires_after: int | None, is_mainnet: bool
) -> None:
    digest = l1_digest(action_hash(action, nonce, vault, expires_after), is_mainnet=is_mainnet)
    signer = Signer(key, is_mainnet=is_mainnet)
    signed = signer.sign_l1(msgspec.msgpack.encode(action), nonce, vault, expires_after)
    assert signed == sign_digest(digest, key)
    assert recover_address(digest, signed) == signer.address


@pytest.mark.parametrize("shown", [repr, str, "{!r:>200}".format, "{}".format])
def test_signer_never_shows_its_key(shown: Json) -> None:
    signer = Signer(key_bytes(PUBLISHED_KEY), is_mainnet=True)
    text = shown(signer)
    assert signer.address in text
    assert "0123456789" * 2 not in text
    assert not hasattr(signer, "__dict__")


@pytest.mark.parametrize("bad", [b"", bytes(32), b"\xff" * 32, b"\x01" * 33])
def test_signer_of_what_is_no_key_says_nothing_about_it(bad: bytes) -> None:
    with pytest.raises(SigningError, match="expected a private key") as raised:
        Signer(bad, is_mainnet=True)
    assert raised.value.__cause__ is None
    assert bad.hex() not in str(raised.value) or not bad


@pytest.mark.parametrize("facts", [(-1, None, None), (1, "0x12", None), (1, None, 2**64)])
def test_signer_refuses_what_action_hash_refuses(facts: Json) -> None:
    with pytest.raises(SigningError):
        Signer(key_bytes(PUBLISHED_KEY), is_mainnet=True).sign_l1(b"\x80", *facts)
