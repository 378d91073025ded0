"""Signatures of which all but one multiplication is made before it is known what will be signed.

Why this module exists: s = (z + r * key) / k. Only z, the digest, has to wait for the tick; the point k * G, which
costs nearly all of a signature's time, and the inverse of k do not depend on it.

Rule 1: two signatures with one k tell everybody the key. A presignature signs once; the second call is refused.
Rule 2: k is a HMAC under the key of bytes that are random: it stays secret if either of the two does.
Rule 3: the result has low s and is recoverable as every other. Had k been that of RFC 6979, it would be the same bytes.
Rule 4: whoever reads a presignature and then its signature has the key: nothing of it is shown, kept or sent (I-34).
"""

import hmac
from typing import Final

from coincurve import PrivateKey
from typing_extensions import override

from streaming.hyperliquid.signing import ORDER, SigningError

_HALF_ORDER: Final = ORDER // 2
ENTROPY_LENGTH: Final = 32


class Presignature:
    """A signature of one key that waits for its digest."""

    __slots__ = ("_k_inverse", "_r", "_recovery", "_summand")

    def __init__(self, key: bytes, k: bytes) -> None:
        """Make everything that does not depend on the digest.

        Args:
            key: 32 bytes of the private key.
            k: 32 bytes between 1 and the order of the curve, never used before and known to nobody: see `secret_k`.
        """
        point = PrivateKey(k).public_key.format(compressed=False)
        x, is_y_odd = int.from_bytes(point[1:33], "big"), point[64] & 1
        r = x % ORDER
        self._r = r.to_bytes(32, "big")
        self._recovery = is_y_odd | (x != r) << 1
        self._k_inverse = pow(int.from_bytes(k, "big"), -1, ORDER)
        self._summand = self._k_inverse * r * int.from_bytes(key, "big") % ORDER

    @override
    def __repr__(self) -> str:
        return "Presignature()"

    def sign(self, digest: bytes) -> bytes:
        """Sign 32 bytes; returns r, s (32 bytes each, big endian) and the recovery id (1 byte).

        Raises:
            SigningError: It has signed before.
        """
        k_inverse, self._k_inverse = self._k_inverse, 0
        if not k_inverse:
            raise SigningError("expected a presignature that has signed nothing yet")
        s = (k_inverse * int.from_bytes(digest, "big") + self._summand) % ORDER
        recovery = self._recovery
        if s > _HALF_ORDER:
            s = ORDER - s
            recovery ^= 1
        return self._r + s.to_bytes(32, "big") + bytes((recovery,))


def secret_k(key: bytes, entropy: bytes) -> bytes:
    """Return the k that belongs to `ENTROPY_LENGTH` random bytes.

    Raises:
        SigningError: For fewer bytes: nobody else would notice a source that has run dry.
    """
    if len(entropy) < ENTROPY_LENGTH:
        raise SigningError(f"expected {ENTROPY_LENGTH} random bytes, found {len(entropy)}")
    # 512 bits, so that the remainder favours no value by more than 2 ** -256.
    number = int.from_bytes(hmac.digest(key, entropy, "sha512"), "big")
    return (1 + number % (ORDER - 1)).to_bytes(32, "big")
