"""The trading stage of `hip3 up`: phase approved, armed, and then watched until enough trades were made.

Rule 1: a trade is a fill of an order that this sidecar signed; the sidecar's own counter says how many there are, and
`audit` proves afterwards that the venue's list of fills is the same.
Rule 2: a dead child ends the wait at once, by its own words, and so does the stop latch where nobody is there to reset
it (`--once`). Else the wait goes on: an operator may try `hip3 stop`, `reset` and `arm` here.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx
import msgspec

from hip3_platform.cli.account import Hip3
from hip3_platform.cli.plan import Plan, StageFailed
from streaming.contracts.control import StatusView

POLL_S = 0.5
SAID_EVERY_S = 5.0
FLAT_S = 30.0
"""How long a disarmed sidecar may hold its last positions; they have a time stop of seconds."""
OPERATOR = "hip3 up"
REASON = "simulated"
ARMED_AGAIN = "armed again: it goes on trading"
_LIVE_COUNT = re.compile(r"^hip3_(fills|round_trips)_total\{([^}]*)\} ([0-9.e+]+)$", re.MULTILINE)


@dataclass(frozen=True)
class Progress:
    """How far trading is."""

    trade_count: int
    round_trip_count: int
    status: StatusView

    @property
    def text(self) -> str:
        """One line for a person."""
        trading = self.status.trading
        return (
            f"trading: {self.trade_count} fills of our signed orders, {self.round_trip_count} round trips, "
            f"{len(trading.positions)} positions open, {trading.day_pnl_usd:+.2f} simulated USD"
        )

    @property
    def is_quiet(self) -> bool:
        """Whether nothing of ours is open or under way."""
        trading = self.status.trading
        return not (trading.positions or trading.orders or trading.action_in_flight_count)


def begin_trading(plan: Plan, hip3: Hip3) -> None:
    """Approve the phase `micro` and arm, as an operator would."""
    hip3("phase", ("phase", "approve", *_place(plan), "--to", "micro", "--reason", REASON))
    arm(plan, hip3)


def arm(plan: Plan, hip3: Hip3) -> None:
    """Let entries happen."""
    hip3("arm", ("arm", *_place(plan)))


def pause_trading(plan: Plan, hip3: Hip3, watch: Callable[[], None]) -> None:
    """Disarm and wait until the last position is closed.

    Args:
        plan: Where.
        hip3: Runs a command.
        watch: Raises when a child has died.
    """
    hip3("disarm", ("arm", "--off", *_place(plan)))
    begun = time.monotonic()
    while not read_progress(plan).is_quiet:
        watch()
        if time.monotonic() - begun > FLAT_S:
            raise StageFailed(f"a disarmed sidecar still holds something after {FLAT_S:.0f} s: {plan.control_url}/")
        time.sleep(POLL_S)


def resume_trading(plan: Plan, hip3: Hip3, say: Callable[[str], None]) -> None:
    """Arm after a pause, unless a stop came meanwhile: only an operator takes that back."""
    status = read_progress(plan).status
    if status.stop_reason is not None:
        say(held_text(status))
        return
    arm(plan, hip3)
    say(ARMED_AGAIN)


def await_trades(plan: Plan, say: Callable[[str], None], watch: Callable[[], None]) -> Progress:
    """Wait until the sidecar has made `plan.trade_count` trades.

    Args:
        plan: Where, how many, and for how long at most.
        say: Takes a line of progress every few seconds.
        watch: Raises when a child has died.
    """
    begun, said, held_said = time.monotonic(), 0.0, ""
    while True:
        watch()
        found = read_progress(plan)
        if found.trade_count >= plan.trade_count:
            say(found.text)
            return found
        if plan.is_once and found.status.stop_reason is not None:
            raise StageFailed(f"{found.text}; it stopped: {found.status.stop_reason}")
        now, held = time.monotonic(), held_text(found.status)
        if held:
            begun = now  # patience is for a sidecar that may trade
        if held != held_said:
            say(held or ARMED_AGAIN)
            held_said = held
        if now - begun > plan.timeout_s:
            against = ", ".join((*found.status.entries_closed_by, found.status.trading.unready_reason))
            raise StageFailed(
                f"{found.text}; fewer than {plan.trade_count} within {plan.timeout_s:.0f} s ({against.strip(', ')})"
            )
        if not held and now - said >= SAID_EVERY_S:
            say(found.text)
            said = now
        time.sleep(POLL_S)


def held_text(status: StatusView) -> str:
    """Return what keeps a sidecar from trading until an operator acts, and what to do; empty if nothing does."""
    if status.stop_reason is not None:
        return (
            f"stopped ({status.stop_reason}): what is open is being closed, nothing new is entered; "
            '`hip3 reset --reason "…"`, then `hip3 arm` let it go on; Ctrl-C ends everything'
        )
    if not status.is_armed:
        return "disarmed: nothing new is entered; `hip3 arm` lets it go on; Ctrl-C ends everything"
    return ""


def read_progress(plan: Plan) -> Progress:
    """Ask the sidecar how far it is; raises StageFailed if it does not say."""
    status, metrics = _get(plan, "/v1/status"), _get(plan, "/metrics")
    counts = live_counts(metrics.decode())
    return Progress(counts["fills"], counts["round_trips"], msgspec.json.decode(status, type=StatusView))


def live_counts(exposition: str) -> dict[str, int]:
    """Return fills and round trips of real orders from the text of `/metrics`; paper fills are left out."""
    counts = {"fills": 0, "round_trips": 0}
    for name, labels, value in _LIVE_COUNT.findall(exposition):
        if name == "round_trips" or 'mode="live"' in labels:
            counts[name] += int(float(value))
    return counts


def _place(plan: Plan) -> tuple[str, ...]:
    place = ("--warehouse", str(plan.warehouse), "--control-port", str(plan.control_port))
    return (*place, "--operator", OPERATOR)


def _get(plan: Plan, path: str) -> bytes:
    try:
        answer = httpx.get(f"{plan.control_url}{path}", timeout=10, trust_env=False)
    except httpx.HTTPError as error:
        raise StageFailed(f"the sidecar does not answer {path}: {type(error).__name__}") from error
    return answer.content
