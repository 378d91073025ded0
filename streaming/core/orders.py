"""Identities of signals and orders: functions of what caused them, never random.

Rule 1: the same session, signal and leg give the same cloid, so a resend can never be a second order (I-01).
"""

from hashlib import blake2b

from streaming.core.market import Side


def signal_id_of(session_id: str, seq: int, coin: str, side: Side) -> str:
    """Return the id of a signal: 32 hex digits of H(session, seq, coin, side)."""
    return blake2b(f"{session_id}|{seq}|{coin}|{side}".encode(), digest_size=16).hexdigest()


def cloid_of(session_id: str, signal_id: str, leg: str) -> str:
    """Return the 128-bit client order id as the venue spells it: `0x` and 32 hex digits.

    Args:
        session_id: The session that decided.
        signal_id: Signal of the entry; exits keep it.
        leg: `entry`, or `exit<n>` for the n-th exit order of the position.
    """
    return "0x" + blake2b(f"{session_id}|{signal_id}|{leg}".encode(), digest_size=16).hexdigest()
