"""Who may send an action now: token bucket, places in flight, circuit breaker and the address budget of the venue.

An action is one post; it carries `count` orders or cancels, which are as many tokens and address requests.

Rule 1: priority is reduce > cancel > new. Entries leave the exits' reserves alone, and cancels leave half of them to
reduce-only orders; so a reduce-only order has its share whatever was asked before (I-37).
Rule 2: a reduce-only order is refused by the rate, by the places in flight and by a spent address budget, nothing else.
Rule 3: with a spent address budget the venue takes one request per 10 s: that one is a single reduce-only order.
Rule 4: an address budget that was never read blocks entries; between reads what we sent counts as used.
Rule 5: integers only: tokens are kept in 1e-9, so that a refill of any number of ns is exact.
Rule 6: a restart begins with an empty account of all this (nothing is in flight, monotonic time may begin anew).
"""

from decimal import Decimal
from enum import StrEnum

import msgspec

from streaming.core.errors import check
from streaming.core.limits import ActionLimits
from streaming.core.units import NS_PER_MS, NS_PER_S, ZERO

LIMITED_SPACING_NS = 11 * NS_PER_S
"""Between two actions of a limited address: 10 s by the venue's word, 11 s as measured; a try too early is lost."""

LATE_WEIGHT = 2
"""Failures that an action counts for which met its own deadline: our clock or our way is slow, the next one would be
late as well. Three in a row open a circuit of five (F-51)."""

_TOKEN = 1_000_000_000
_NS_PER_HOUR = 3_600 * NS_PER_S
_READ_COUNT_MAX = 10


class ActionKind(StrEnum):
    """What an action does to risk, highest priority first."""

    REDUCE = "reduce"
    CANCEL = "cancel"
    NEW = "new"


class AddressRead(msgspec.Struct, frozen=True, kw_only=True):
    """What the venue said about the address budget."""

    used_count: int
    cap_count: int
    mono_ns: int

    @property
    def left_count(self) -> int:
        """Requests left; negative once more were used than the cap allows."""
        return self.cap_count - self.used_count


class ActionBudget(msgspec.Struct, kw_only=True):
    """Account of one signer's actions; as built it is full and nothing is in flight."""

    lacking_token_nanos: int = 0
    """What the bucket lacked at `refill_mono_ns`, in 1e-9 tokens."""
    refill_mono_ns: int = 0
    in_flight_count: int = 0
    failure_count: int = 0
    """Failures in a row, by weight."""
    circuit_until_mono_ns: int = 0
    is_address_limited: bool = False
    limited_free_mono_ns: int = 0
    """From when a limited address may send again."""
    address_reads: list[AddressRead] = []
    """The last reads, oldest first."""
    unread_count: int = 0
    """Requests sent since the last read."""


def refusal(budget: ActionBudget, limits: ActionLimits, now_mono_ns: int, kind: ActionKind, count: int) -> str:
    """Say why an action may not go now.

    Args:
        budget: The account; not changed.
        limits: Its limits.
        now_mono_ns: Monotonic clock.
        kind: What the action does.
        count: Orders or cancels in it.

    Returns:
        Empty when it may go, else the first of `circuit_open`, `action_rate`, `in_flight`, `address_limited`,
        `address_reserve`.
    """
    check(count > 0, "I-37", count=count)
    if kind is ActionKind.NEW and now_mono_ns < budget.circuit_until_mono_ns:
        return "circuit_open"
    if _lacking(budget, limits, now_mono_ns) > _lacking_max(limits, kind, count):
        return "action_rate"
    if budget.in_flight_count >= limits.in_flight_count_max - _reserved(limits.exit_in_flight_count, kind):
        return "in_flight"
    if budget.is_address_limited and not (
        _may_when_limited(kind, count) and now_mono_ns >= budget.limited_free_mono_ns
    ):
        return "address_limited"
    if kind is ActionKind.NEW and not _has_address_room(budget, limits, count):
        return "address_reserve"
    return ""


def next_free_mono_ns(
    budget: ActionBudget, limits: ActionLimits, now_mono_ns: int, kind: ActionKind, count: int
) -> int | None:
    """Return the earliest instant at which such an action may go if nothing else is sent.

    None when waiting alone does not help: an answer, a read of the address budget or a smaller action has to come.
    """
    surplus = max(0, budget.lacking_token_nanos - _lacking_max(limits, kind, count))
    free_mono_ns = max(now_mono_ns, budget.refill_mono_ns - (-surplus // limits.action_rate_per_s))
    if kind is ActionKind.NEW:
        free_mono_ns = max(free_mono_ns, budget.circuit_until_mono_ns)
    if budget.is_address_limited:
        free_mono_ns = max(free_mono_ns, budget.limited_free_mono_ns)
    return None if refusal(budget, limits, free_mono_ns, kind, count) else free_mono_ns


def spend(budget: ActionBudget, limits: ActionLimits, now_mono_ns: int, kind: ActionKind, count: int) -> None:
    """Take the tokens, the requests and the place of an action that goes out now and is not refused."""
    reason = refusal(budget, limits, now_mono_ns, kind, count)
    check(not reason, "I-37", reason=reason, kind=kind, count=count)
    budget.lacking_token_nanos = _lacking(budget, limits, now_mono_ns) + count * _TOKEN
    budget.refill_mono_ns = max(budget.refill_mono_ns, now_mono_ns)
    budget.in_flight_count += 1
    budget.unread_count += count
    budget.limited_free_mono_ns = now_mono_ns + LIMITED_SPACING_NS


def answered(budget: ActionBudget, limits: ActionLimits, now_mono_ns: int, *, failure_weight: int) -> None:
    """Free the place of an action whose answer, or failure, is known.

    So many failures in a row open the circuit for entries. Once its time is over, one more failure opens it again.

    Args:
        budget: The account.
        limits: Its limits.
        now_mono_ns: Monotonic clock.
        failure_weight: 0 for an action that was taken, 1 for one that failed, `LATE_WEIGHT` for one that came too late.
    """
    check(budget.in_flight_count > 0, "I-37", in_flight_count=budget.in_flight_count)
    budget.in_flight_count -= 1
    budget.failure_count = budget.failure_count + failure_weight if failure_weight else 0
    if budget.failure_count >= limits.failure_count_max:
        budget.circuit_until_mono_ns = now_mono_ns + limits.circuit_ms * NS_PER_MS


def limit_hit(budget: ActionBudget) -> None:
    """Note that the venue refused an action because of the address budget."""
    budget.is_address_limited = True


def limit_cleared(budget: ActionBudget) -> None:
    """Note that the address may send freely again: requests were bought, or a read shows some left."""
    budget.is_address_limited = False


def budget_read(budget: ActionBudget, used_count: int, cap_count: int, now_mono_ns: int) -> None:
    """Take over what the venue says about the address budget; requests left end the limited mode."""
    read = AddressRead(used_count=used_count, cap_count=cap_count, mono_ns=now_mono_ns)
    budget.address_reads = [*budget.address_reads[1 - _READ_COUNT_MAX :], read]
    budget.unread_count = 0
    if read.left_count > 0:
        limit_cleared(budget)


def forecast_hours(budget: ActionBudget, now_mono_ns: int) -> Decimal | None:
    """Return the hours until the address budget is spent, at the rate of the reads that are kept.

    Volume adds to the cap, so what counts is how fast the rest falls. None while it is unknown or does not fall.
    """
    if not budget.address_reads:
        return None
    first, last = budget.address_reads[0], budget.address_reads[-1]
    if last.left_count <= 0:
        return ZERO
    fall_count = first.left_count - last.left_count
    if fall_count <= 0:
        return None
    left_ns = last.left_count * (last.mono_ns - first.mono_ns) // fall_count - (now_mono_ns - last.mono_ns)
    return Decimal(max(0, left_ns) * 100 // _NS_PER_HOUR) / 100


def _reserved(exit_count: int, kind: ActionKind) -> int:
    # What this kind leaves to those above it. Half of the reserve, rounded up, is for reduce-only orders alone.
    if kind is ActionKind.REDUCE:
        return 0
    return (exit_count + 1) // 2 if kind is ActionKind.CANCEL else exit_count


def _lacking(budget: ActionBudget, limits: ActionLimits, now_mono_ns: int) -> int:
    # 1e-9 tokens; a clock that reads earlier than the last refill refills nothing.
    elapsed_ns = max(0, now_mono_ns - budget.refill_mono_ns)
    return max(0, budget.lacking_token_nanos - elapsed_ns * limits.action_rate_per_s)


def _lacking_max(limits: ActionLimits, kind: ActionKind, count: int) -> int:
    # What the bucket may lack before this action; negative for one that is larger than the bucket will ever hold.
    return (limits.action_burst_count - _reserved(limits.exit_token_count, kind) - count) * _TOKEN


def _may_when_limited(kind: ActionKind, count: int) -> bool:
    return kind is ActionKind.REDUCE and count == 1


def _has_address_room(budget: ActionBudget, limits: ActionLimits, count: int) -> bool:
    if not budget.address_reads:
        return False
    left_count = budget.address_reads[-1].left_count - budget.unread_count
    return left_count - count >= limits.address_reserve_count
