"""The drill for a key that others may have: latch, cancel all, flatten, revoke, new key, in this order.

Rule 1: the order never changes: first nothing new, then nothing open, then nothing held, then the old key is worthless.
Rule 2: every step is reported, whatever became of the one before: an operator in trouble needs the whole list.
Rule 3: the old address is not retired here. Until the master has replaced it, it is what closes the position.
"""

from collections.abc import Callable
from decimal import Decimal
from enum import StrEnum

import msgspec

from streaming.contracts.control import API_PREFIX
from streaming.core.errors import Hip3Error
from streaming.core.units import ZERO
from streaming.shell.control.client import Client
from streaming.shell.keys.approval import step_text
from streaming.shell.keys.rotate import Rotated

REASON = "agent key leaked"


class Outcome(StrEnum):
    """What became of a step."""

    DONE = "done"
    FAILED = "failed"
    LEFT = "left"
    """For the operator or the master."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step of the drill."""

    name: str
    outcome: Outcome
    text: str


class _Market(msgspec.Struct, frozen=True):
    coin: str
    position_sz: Decimal


class _Status(msgspec.Struct, frozen=True):
    """What the drill needs of the status, whatever else a sidecar of another version says."""

    markets: tuple[_Market, ...]


class Drill(msgspec.Struct, frozen=True, kw_only=True):
    """The whole drill as it went."""

    steps: tuple[Step, ...]
    rotated: Rotated | None
    """None where no new key could be made."""

    @property
    def is_done(self) -> bool:
        """Whether everything this machine can do was done."""
        return not any(step.outcome is Outcome.FAILED for step in self.steps)


def leaked(connect: Callable[[], Client], operator: str, rotate: Callable[[], Rotated]) -> Drill:
    """Go through the drill.

    Args:
        connect: Finds the running sidecar.
        operator: Who asks.
        rotate: Makes the new key and returns what the master has to sign for it.
    """
    steps = [_latch(connect, operator), _cancel_all(), _flatten(connect)]
    try:
        rotated = rotate()
    except Hip3Error as error:
        steps.append(_left("revoke", "approve any other address under the agent's name, in the venue's page"))
        steps.append(_failed("new_key", error))
        return Drill(steps=tuple(steps), rotated=None)
    steps.append(_left("revoke", step_text(rotated.master_step)))
    text = (
        f"made {rotated.master_step.agent_address} in {rotated.key_file}; once the master has signed: "
        "`hip3 keys revoke --verify` on the old file, restart `hip3 run` with the new one, `hip3 reset`"
    )
    steps.append(Step(name="new_key", outcome=Outcome.DONE, text=text))
    return Drill(steps=tuple(steps), rotated=rotated)


def drill_text(drill: Drill) -> str:
    """Return the drill for a person."""
    return "\n".join(
        f"{number}. {step.name}: {step.outcome}: {step.text}" for number, step in enumerate(drill.steps, 1)
    )


def _latch(connect: Callable[[], Client], operator: str) -> Step:
    try:
        answer = connect().post("stop", {"reason": REASON, "operator": operator})
    except Hip3Error as error:
        return _failed("latch", error)
    if not answer.is_accepted:
        return Step(name="latch", outcome=Outcome.FAILED, text="; ".join(answer.reasons))
    return Step(name="latch", outcome=Outcome.DONE, text="the stop latch is set: no entry leaves until `hip3 reset`")


def _cancel_all() -> Step:
    return _left("cancel_all", "look in the venue's page that no order is open; cancel what is")


def _flatten(connect: Callable[[], Client]) -> Step:
    try:
        status = msgspec.json.decode(connect().get(f"{API_PREFIX}/status"), type=_Status)
    except (Hip3Error, msgspec.MsgspecError):
        return _left("flatten", "no sidecar says what is held: close every position in the venue's page")
    held = [f"{market.coin} {market.position_sz}" for market in status.markets if market.position_sz != ZERO]
    if held:
        return _left("flatten", f"still held: {', '.join(held)}; wait for the exits, or close them in the venue's page")
    return Step(name="flatten", outcome=Outcome.DONE, text="the sidecar holds no position")


def _left(name: str, text: str) -> Step:
    return Step(name=name, outcome=Outcome.LEFT, text=text)


def _failed(name: str, error: Hip3Error) -> Step:
    return Step(name=name, outcome=Outcome.FAILED, text=str(error))
