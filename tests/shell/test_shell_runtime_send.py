"""An entry leaves at once: written as an intent, sent, then explained, all under one sequence number."""

from pathlib import Path

import pytest
from core_builders import COIN, a_ctx, stamps
from loopback_feed import run
from shell_parts import FakeClock, Shell, a_shell
from trading_builders import Desk, a_desk

from streaming.core.effects import AnyOutput, EpisodeBegan, GatesEvaluated, SignalRaised
from streaming.core.events import AnyEvent, CtxUpdated, SessionClosed
from streaming.core.trading.effects import ActionDecided, LiveOrderChanged
from streaming.core.trading.events import ActionNotSent, ActionSent
from streaming.core.trading.model import OrderStatus
from streaming.shell.journal.reader import Step, list_segments, read_session, steps
from streaming.shell.journal.recovery import last_state
from streaming.shell.replay.parity import check_parity


def crossing(desk: Desk, at_ms: float) -> CtxUpdated:
    return a_ctx(at_ms, generation=desk.generation, oracle_px="100.3", mark_px="100", mid_px="100")


def a_trading_shell(root: Path) -> tuple[Shell, Desk]:
    """A runtime over an engine that may trade for real."""
    desk = a_desk()
    clock = FakeClock()
    clock.advance(desk.at_ms)
    return a_shell(root, clock=clock, state=desk.state), desk


def recorded(shell: Shell) -> list[Step]:
    folder = shell.journal.folder
    return list(steps(read_session(folder, list_segments(folder))))


def test_i02_the_intent_is_on_disk_when_it_is_sent_and_the_explanation_is_not(tmp_path: Path) -> None:
    seen: list[list[AnyOutput]] = []

    async def play() -> Shell:
        shell, desk = a_trading_shell(tmp_path)
        shell.runtime.on_action = lambda _: seen.append(recorded(shell)[-1].outputs)
        shell.runtime.apply(crossing(desk, desk.at_ms + 1))
        await shell.turn()
        shell.close()
        return shell

    shell = run(play())
    (on_disk,) = seen
    assert [type(output) for output in on_disk] == [ActionDecided]
    step = recorded(shell)[-1]
    assert [type(output) for output in step.outputs] == [
        ActionDecided, EpisodeBegan, SignalRaised, GatesEvaluated, LiveOrderChanged,
    ]  # fmt: skip
    assert step.outputs == shell.outputs


@pytest.mark.parametrize(("kind", "status"), [(ActionSent, OrderStatus.SENT), (ActionNotSent, OrderStatus.ABORTED)])
def test_what_becomes_of_an_action_is_an_input_after_the_one_that_decided_it(
    tmp_path: Path, kind: type[ActionSent | ActionNotSent], status: OrderStatus
) -> None:
    async def play() -> Shell:
        shell, desk = a_trading_shell(tmp_path)
        head = stamps(desk.at_ms + 1)

        def perform(action: ActionDecided) -> None:
            said: AnyEvent = ActionSent(**head, action_id=action.action_id, is_rest=False)
            if kind is ActionNotSent:
                said = ActionNotSent(**head, action_id=action.action_id, reason="stop_latch")
            shell.runtime.apply(said)

        shell.runtime.on_action = perform
        shell.runtime.apply(crossing(desk, desk.at_ms + 1))
        await shell.turn()
        shell.close()
        return shell

    shell = run(play())
    *_, decided, said = recorded(shell)
    assert (type(decided.event), type(said.event)) == (CtxUpdated, kind)
    assert said.seq == decided.seq + 1
    changes = [output.order.status for output in shell.outputs if isinstance(output, LiveOrderChanged)]
    assert changes == [OrderStatus.INTENT, status]


def test_i24_a_session_that_entered_is_decided_again_without_a_difference(tmp_path: Path) -> None:
    async def play() -> None:
        shell, desk = a_trading_shell(tmp_path)
        shell.runtime.apply(crossing(desk, desk.at_ms + 1))
        await shell.turn()
        shell.runtime.apply(SessionClosed(**stamps(desk.at_ms + 5), reason="test"))
        shell.close()

    run(play())
    report = check_parity(tmp_path, "sim", code_version="test", session_id="s1")
    assert (report.difference_count, report.state_difference_count) == (0, 0)


class DiedError(Exception):
    """The process ends inside the send."""


def test_f55_a_process_that_dies_between_send_and_explanation_leaves_an_order_to_ask_about(tmp_path: Path) -> None:
    async def play() -> tuple[Shell, ActionDecided]:
        shell, desk = a_trading_shell(tmp_path)
        sent: list[ActionDecided] = []

        def die(action: ActionDecided) -> None:
            sent.append(action)
            raise DiedError

        shell.runtime.on_action = die
        with pytest.raises(DiedError):
            shell.runtime.apply(crossing(desk, desk.at_ms + 1))
        return shell, sent[0]

    shell, action = run(play())
    assert [type(output) for output in recorded(shell)[-1].outputs] == [ActionDecided]
    carried = last_state(tmp_path, "sim", shell.runtime.state.session.account)
    assert carried is not None
    (order,) = carried.live.orders.values()
    (ticket,) = action.orders
    assert (order.coin, order.cloid, order.sz, order.nonce) == (COIN, ticket.cloid, ticket.sz, action.nonce)
    assert carried.live.nonce.last == action.nonce
    report = check_parity(tmp_path, "sim", code_version="test", session_id="s1")
    assert report.is_equal
