"""The one loop around the engine: inputs in, decisions written down, then acted on.

Rule 1: every input gets the next sequence number, is appended to the journal, and is stepped to completion; nothing
runs between (the engine is synchronous).
Rule 2: a turn of the event loop ends with one write of all its inputs and decisions; effects run only after it, so that
what we acted on survives SIGKILL. An action to send ends the turn at once: its edge does not wait for the loop.
Rule 3: the shell's own observations (timers, polls, health, commands) are inputs like frames.
"""

import asyncio
from collections.abc import Callable, Sequence

from streaming.core.effects import AnyOutput, CommandAnswered, Reconnect, Resubscribe
from streaming.core.engine import decide, encode_snapshot, explain, next_deadline_mono_ns
from streaming.core.events import AnyEvent, TimerFired
from streaming.core.state import EngineState
from streaming.core.trading.effects import AccountAsked, ActionDecided, FillsAsked, LadderChanged, OrderAsked
from streaming.hyperliquid.decode import decode_frame
from streaming.shell.alarm import Alarm
from streaming.shell.clock import Clock
from streaming.shell.journal.writer import JournalWriter
from streaming.shell.telemetry.meter import Telemetry

COMMAND_TIMEOUT_S = 5.0


class Runtime:
    """Owns the engine's state; everything that happens passes through `apply`."""

    def __init__(self, *, state: EngineState, journal: JournalWriter, clock: Clock, telemetry: Telemetry) -> None:
        """Drive `state`, whose snapshot is already the journal's first record."""
        self.state = state
        self.on_resubscribe: Callable[[str], None] = _ignored
        self.on_reconnect: Callable[[str], None] = _ignored
        self.on_ladder: Callable[[int], None] = _ignored
        self.on_action: Callable[[ActionDecided], None] = _ignored
        self.on_question: Callable[[AccountAsked | FillsAsked | OrderAsked], None] = _ignored
        self.on_turn: Callable[[int, int], None] = _ignored_turn
        """Called with (mono_ns, seq) after each turn: the engine's sign of life."""
        self.on_outputs: Callable[[Sequence[AnyOutput]], None] = _ignored
        self._journal = journal
        self._clock = clock
        self._telemetry = telemetry
        self._alarm = Alarm(clock, self._deadline_reached)
        self._outputs: list[AnyOutput] = []
        self._is_turn_open = False
        self._is_closed = False
        self._action_count = state.live.action_count
        self._is_sending = False
        self._said: list[AnyEvent] = []
        self._command_id = 0
        self._answers: dict[int, asyncio.Future[CommandAnswered]] = {}

    def frame_received(self, raw: bytes, generation: int) -> AnyEvent:
        """Take one frame: stamp, decode, journal, decide. Returns the event for the session layer."""
        recv_mono_ns = self._clock.mono_ns()
        recv_ts_ns = self._clock.ts_ns()
        event = decode_frame(raw, generation=generation, recv_mono_ns=recv_mono_ns, recv_ts_ns=recv_ts_ns)
        if not self._is_closed:
            self._journal.append_frame(self.state.seq + 1, generation, recv_mono_ns, recv_ts_ns, raw)
            self._decide(event)
            self._telemetry.frame_received(event)
        return event

    def apply(self, event: AnyEvent) -> None:
        """Take an input that is no frame."""
        if self._is_closed:
            return
        if self._is_sending:  # what became of an action is an input of its own, after the one that decided it
            self._said.append(event)
            return
        self._journal.append_event(self.state.seq + 1, event)
        self._decide(event)

    async def command(self, make: Callable[[int, int, int], AnyEvent]) -> CommandAnswered:
        """Apply a command and wait for the engine's answer, which is given after it was written down.

        Args:
            make: Builds the event of (command_id, recv_mono_ns, recv_ts_ns).
        """
        self._command_id += 1
        command_id = self._command_id
        answer: asyncio.Future[CommandAnswered] = asyncio.get_running_loop().create_future()
        self._answers[command_id] = answer
        try:
            self.apply(make(command_id, self._clock.mono_ns(), self._clock.ts_ns()))
            async with asyncio.timeout(COMMAND_TIMEOUT_S):
                return await answer
        finally:
            del self._answers[command_id]

    def flush(self) -> None:
        """End the turn now: what was decided is written and acted on when this returns."""
        self._end_turn()

    def close(self) -> None:
        """Write what the last turn left and take no input any more."""
        if not self._is_closed:
            self._end_turn()
            self._is_closed = True
            self._alarm.cancel_timer()

    def _decide(self, event: AnyEvent) -> None:
        state = self.state
        outputs = decide(state, event)
        if outputs:
            self._journal.append_outputs(state.seq, outputs)
            self._outputs.extend(outputs)
            if state.live.action_count != self._action_count:
                self._send(outputs)
        if not self._is_turn_open:
            self._is_turn_open = True
            asyncio.get_running_loop().call_soon(self._end_turn)

    def _send(self, outputs: list[AnyOutput]) -> None:
        """Write what is decided so far and hand its actions on; what an entry was decided on is told afterwards."""
        state = self.state
        self._action_count = state.live.action_count
        self._journal.commit(is_urgent=True)
        self._is_sending = True
        for output in outputs:
            if type(output) is ActionDecided:
                self.on_action(output)
        self._is_sending = False
        if state.entered is not None:
            told = explain(state)
            self._journal.append_outputs(state.seq, told)
            self._outputs.extend(told)
        said, self._said = self._said, []
        for event in said:
            self.apply(event)

    def _end_turn(self) -> None:
        if not self._is_turn_open:
            return
        self._is_turn_open = False
        self._journal.commit()
        if self._outputs:
            outputs, self._outputs = self._outputs, []
            self._telemetry.outputs_taken(outputs)
            for output in outputs:
                if type(output) in _REQUESTS:
                    self._act(output)
            self.on_outputs(outputs)
        now_mono_ns = self._clock.mono_ns()
        self._journal.roll_if_due(now_mono_ns, self._snapshot)
        self._alarm.set(next_deadline_mono_ns(self.state))
        self.on_turn(now_mono_ns, self.state.seq)

    def _act(self, output: AnyOutput) -> None:
        match output:
            case Resubscribe(coin=coin):
                self.on_resubscribe(coin)
            case Reconnect(reason=reason):
                self.on_reconnect(reason)
            case LadderChanged(step=ladder_step):
                self.on_ladder(ladder_step)
            case AccountAsked() | FillsAsked() | OrderAsked():
                self.on_question(output)
            case CommandAnswered(command_id=command_id):
                answer = self._answers.get(command_id)
                if answer is not None and not answer.done():
                    answer.set_result(output)
            case _:
                pass

    def _snapshot(self) -> bytes:
        return encode_snapshot(self.state)

    def _deadline_reached(self) -> None:
        self.apply(TimerFired(recv_mono_ns=self._clock.mono_ns(), recv_ts_ns=self._clock.ts_ns()))


_REQUESTS = frozenset({Resubscribe, Reconnect, LadderChanged, AccountAsked, FillsAsked, OrderAsked, CommandAnswered})


def _ignored(_: object) -> None:
    """Stand in until something is connected."""


def _ignored_turn(_: int, __: int) -> None:
    """Stand in until something is connected."""
