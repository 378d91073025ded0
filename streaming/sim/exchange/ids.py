"""Numbers and names the venue gives: oids, tids, hashes, the addresses of everybody else.

Rule 1: all of them follow from seed, first instant and the order of events, so the same inputs give the same ids.
Rule 2: a venue that is started again goes on above its old oids, as a real one does: fills of two starts that shared
their tids would be the same fills to everybody who reads the tables.
"""

from hashlib import blake2b

_FIRST_OID = 62_000_000_000
_OIDS_PER_MS = 100
"""Room for so many a ms until the next start; for centuries it stays below 2^53, which readers of JSON need."""
_TID_BITS = 50


class Ids:
    """The sources of ids of one venue that began at `begin_ms` (UTC)."""

    def __init__(self, seed: int, begin_ms: int) -> None:
        self._seed = seed
        self._oid = _FIRST_OID + 1_000_003 * (seed % 1_000_003) + _OIDS_PER_MS * begin_ms
        self._count = 0

    def oid(self) -> int:
        """Return the next order id; other orders of the venue have those between."""
        self._oid += 1 + self._number("oid", self._oid) % 40
        return self._oid

    def tid(self, oid: int, other_oid: int) -> int:
        """Return the 50-bit id of a fill between two orders; 0 stands for one nobody knows."""
        self._count += 1
        return self._number("tid", oid, other_oid, self._count) >> (64 - _TID_BITS)

    def tx_hash(self, *facts: int) -> str:
        """Return the hash of a transaction."""
        return f"0x{self._digest('tx', facts, 32).hex()}"

    def stranger(self, *facts: int) -> str:
        """Return the address of somebody who is no client."""
        return f"0x{self._digest('stranger', facts, 20).hex()}"

    def _number(self, what: str, *facts: int) -> int:
        return int.from_bytes(self._digest(what, facts, 8))

    def _digest(self, what: str, facts: tuple[int, ...], size: int) -> bytes:
        return blake2b(f"{self._seed}|{what}|{facts}".encode(), digest_size=size).digest()
