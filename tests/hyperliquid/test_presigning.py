"""Presignatures: the same signatures as every other, once each, and nothing of them shown."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streaming.hyperliquid.presigning import ENTROPY_LENGTH, Presignature, secret_k
from streaming.hyperliquid.signing import (
    ORDER,
    Signature,
    Signer,
    SigningError,
    address_of_key,
    connection_id_of,
    l1_digest,
    recover_address,
    sign_digest,
)

KEY = bytes.fromhex("0123456789012345678901234567890123456789012345678901234567890123")
K = bytes.fromhex("00000000000000000000000000000000000000000000000000000000c0ffee11")
DIGEST = bytes(range(32))

scalars = st.integers(1, ORDER - 1).map(lambda number: number.to_bytes(32, "big"))
digests = st.binary(min_size=32, max_size=32)


def signature_of(raw: bytes) -> Signature:
    assert len(raw) == 65
    return Signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:64], "big"), 27 + raw[64])


@given(scalars, digests)
@example(KEY, b"\xff" * 32)  # larger than the curve's order
@example(KEY, b"\x00" * 32)
@example((ORDER - 1).to_bytes(32, "big"), DIGEST)
def test_with_the_k_of_rfc_6979_it_is_the_signature_that_eth_account_makes(key: bytes, digest: bytes) -> None:
    known = sign_digest(digest, key)  # held against eth-account in test_signing
    s = pow(known.s, -1, ORDER)
    k = s * (int.from_bytes(digest, "big") + known.r * int.from_bytes(key, "big")) % ORDER
    for either in (k, ORDER - k):  # which of the two it was is lost with the sign of s
        assert signature_of(Presignature(key, either.to_bytes(32, "big")).sign(digest)) == known


@given(scalars, scalars, digests)
def test_whatever_k_is_the_key_is_recovered_and_s_is_low(key: bytes, k: bytes, digest: bytes) -> None:
    signature = signature_of(Presignature(key, k).sign(digest))
    assert recover_address(digest, signature) == address_of_key(key)
    assert signature.s <= ORDER // 2


def test_second_digest_is_refused_because_it_would_tell_the_key() -> None:
    presignature = Presignature(KEY, K)
    presignature.sign(DIGEST)
    for digest in (DIGEST, bytes(32)):
        with pytest.raises(SigningError, match="signed nothing yet"):
            presignature.sign(digest)


def test_nothing_of_it_is_shown() -> None:
    presignature = Presignature(KEY, K)
    assert (repr(presignature), str(presignature)) == ("Presignature()", "Presignature()")


@given(scalars, scalars, st.binary(min_size=32, max_size=64), st.binary(min_size=32, max_size=64))
def test_k_is_in_range_and_follows_from_both_key_and_entropy(
    key: bytes, other_key: bytes, entropy: bytes, other_entropy: bytes
) -> None:
    k = secret_k(key, entropy)
    assert 0 < int.from_bytes(k, "big") < ORDER
    assert (secret_k(key, other_entropy) == k) is (other_entropy == entropy)
    assert (secret_k(other_key, entropy) == k) is (other_key == key)


def test_entropy_that_has_run_dry_is_refused() -> None:
    with pytest.raises(SigningError, match=r"expected 32 random bytes, found 31"):
        secret_k(KEY, bytes(ENTROPY_LENGTH - 1))


class Queue:
    """A store with what a test put in."""

    def __init__(self, *ready: Presignature) -> None:
        self.ready = list(ready)

    def take(self) -> Presignature | None:
        return self.ready.pop() if self.ready else None


def test_signer_uses_up_what_is_ready_and_then_signs_as_ever() -> None:
    plain, signer = Signer(KEY, is_mainnet=False), Signer(KEY, is_mainnet=False, store=Queue(Presignature(KEY, K)))
    expected = plain.sign_l1(b"\x80", 1)
    first = signer.sign_l1(b"\x80", 1)
    assert first == signature_of(Presignature(KEY, K).sign(_digest_of(b"\x80", 1)))
    assert first != expected
    assert signer.sign_l1(b"\x80", 1) == expected


def test_what_a_master_signs_is_never_presigned() -> None:
    action = {
        "type": "usdSend", "signatureChainId": "0x66eee", "hyperliquidChain": "Testnet",
        "destination": "0x" + "ab" * 20, "amount": "1", "time": 1,
    }  # fmt: skip
    store = Queue(Presignature(KEY, K))
    signer = Signer(KEY, is_mainnet=False, store=store)
    assert signer.sign_user_action(action) == Signer(KEY, is_mainnet=False).sign_user_action(action)
    assert len(store.ready) == 1


def _digest_of(packed: bytes, nonce: int) -> bytes:
    return l1_digest(connection_id_of(packed, nonce, None, None), is_mainnet=False)
