"""The drill for a key that others may have: latch, cancel all, flatten, revoke, new key, in this order.

Rule 1: the order never changes: first nothing new, then nothing open, then nothing held, then the old key is worthless.
Rule 2: every step is reported, whatever became of the one before: an operator in trouble needs the whole list.
Rule 3: the old address is not retired here. Until the master has replaced it, it is what closes the position.
"""

from collections.abc import Callable
from decimal import Decimal
from enum import StrEnum
from typing import Final

import msgspec

from streaming.contracts.control import API_PREFIX
from streaming.core.errors import Hip3Error
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


LOOK_COUNT_MAX: Final = 30
"""How often the sidecar is asked whether it is flat, with a pause between: the latch closes everything by itself."""


class _Position(msgspec.Struct, frozen=True):
    coin: str
    sz: Decimal


class _Order(msgspec.Struct, frozen=True):
    coin: str
    cloid: str


class _Trading(msgspec.Struct, frozen=True):
    positions: tuple[_Position, ...]
    orders: tuple[_Order, ...]


class _Status(msgspec.Struct, frozen=True):
    """What the drill needs of the status, whatever else a sidecar of another version says."""

    trading: _Trading


class Drill(msgspec.Struct, frozen=True, kw_only=True):
    """The whole drill as it went."""

    steps: tuple[Step, ...]
    rotated: Rotated | None
    """None where no new key could be made."""

    @property
    def is_done(self) -> bool:
        """Whether everything this machine can do was done."""
        return not any(step.outcome is Outcome.FAILED for step in self.steps)


def leaked(
    connect: Callable[[], Client], operator: str, rotate: Callable[[], Rotated], pause: Callable[[], None]
) -> Drill:
    """Go through the drill.

    Args:
        connect: Finds the running sidecar.
        operator: Who asks.
        rotate: Makes the new key and returns what the master has to sign for it.
        pause: Waits half a second between two looks at what is still open.
    """
    steps = [_latch(connect, operator)]
    trading = _look(connect, pause, look_count=LOOK_COUNT_MAX if steps[0].outcome is Outcome.DONE else 1)
    steps += [_cancel_all(trading), _flatten(trading)]
    try:
        rotated = rotate()
    except Hip3Error as error:
        steps.append(_left("revoke", "approve any other address under the agent's name, in the venue's page"))
        steps.append(_failed("new_key", error))
        return Drill(steps=tuple(steps), rotated=None)
    steps.append(_left("revoke", step_text(rotated.master_step)))
    text = (
        f"made {rotated.master_step.agent_address} in {rotated.key_file}; once the master has signed: "
        "`hip3 keys revoke --verify` on the old file, restart `hip3 run` with the new one, `hip3 reset` and `hip3 arm`"
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


def _look(connect: Callable[[], Client], pause: Callable[[], None], *, look_count: int) -> _Trading | None:
    """Return what is still open once nothing is, or after the last look; None if nobody says."""
    trading = None
    for number in range(look_count):
        if number:
            pause()
        try:
            trading = msgspec.json.decode(connect().get(f"{API_PREFIX}/status"), type=_Status).trading
        except (Hip3Error, msgspec.MsgspecError):
            return None
        if not trading.orders and not trading.positions:
            break
    return trading


def _cancel_all(trading: _Trading | None) -> Step:
    if trading is None:
        return _left("cancel_all", "no sidecar says what is open: cancel every order in the venue's page")
    if trading.orders:
        open_orders = ", ".join(f"{order.coin} {order.cloid}" for order in trading.orders)
        return _left("cancel_all", f"still open or in doubt: {open_orders}; look in the venue's page")
    return Step(name="cancel_all", outcome=Outcome.DONE, text="no order of the sidecar is open")


def _flatten(trading: _Trading | None) -> Step:
    if trading is None:
        return _left("flatten", "no sidecar says what is held: close every position in the venue's page")
    if trading.positions:
        held = ", ".join(f"{position.coin} {position.sz}" for position in trading.positions)
        return _left("flatten", f"still held: {held}; wait for the exits, or close them in the venue's page")
    return Step(name="flatten", outcome=Outcome.DONE, text="the sidecar holds no position")


def _left(name: str, text: str) -> Step:
    return Step(name=name, outcome=Outcome.LEFT, text=text)


def _failed(name: str, error: Hip3Error) -> Step:
    return Step(name=name, outcome=Outcome.FAILED, text=str(error))
