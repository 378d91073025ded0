"""The market-data connection: drives the sans-IO session over a transport, and reconnects for ever.

Rule 1: one connection at a time; frames of a connection that was dropped are no inputs any more (F-09).
Rule 2: the session decides when to ping, retry, drop and wait, and keeps messages back at the venue's limit (I-37);
this module only moves bytes and time, and counts.
"""

import asyncio
import contextlib
from collections.abc import Callable

from streaming.core.errors import NotSent
from streaming.core.events import ConnectionLost, ConnectionOpened, FrameMalformed, StopRequested
from streaming.core.trading.events import ActionAnswered
from streaming.hyperliquid.decode import SPOT_CONTEXT
from streaming.hyperliquid.session import Action, Send, Session
from streaming.shell.alarm import Alarm
from streaming.shell.clock import Clock
from streaming.shell.feed.transport import Callbacks, Transport, TransportFactory
from streaming.shell.process.faults import Faults
from streaming.shell.runtime import Runtime
from streaming.shell.telemetry.logs import get_logger
from streaming.shell.telemetry.meter import Telemetry

_KINDS = ((b'"ping"', "ping"), (b'"unsubscribe"', "unsubscribe"), (b'"subscribe"', "subscribe"))
RELEASE_S = 1.0
"""How long the next connection waits for a library to let go of the last one."""
_SPOT_COINS_MAX = 1_000
OnAnswer = Callable[[ActionAnswered], None]
SHED_STEP = 2
"""Rung of the degradation ladder from which optional streams are ended."""


def kind_of(frame: bytes) -> str:
    """Return the kind of a message we send, for its metric."""
    return next((kind for part, kind in _KINDS if part in frame), "other")


class Feed:
    """Keeps one websocket open and hands what it says to the runtime."""

    def __init__(
        self,
        *,
        url: str,
        session: Session,
        subscription_count: int,
        new_transport: TransportFactory,
        runtime: Runtime,
        clock: Clock,
        telemetry: Telemetry,
        faults: Faults,
    ) -> None:
        """Connect `session` and `runtime`; nothing is opened before `run`."""
        self._url = url
        self._session = session
        self._subscription_count = subscription_count
        self._new_transport = new_transport
        self._runtime = runtime
        self._spot_coins: set[str] = set()
        self._clock = clock
        self._telemetry = telemetry
        self._faults = faults
        self._alarm = Alarm(clock, self._deadline_reached)
        self._log = get_logger(component="feed")
        self._transport: Transport | None = None
        self._closed: asyncio.Future[str] | None = None
        self._drop_reason = ""
        self._is_hostile = False
        self.on_answer: OnAnswer = _ignored
        runtime.on_resubscribe = self._resubscribe
        runtime.on_reconnect = self._drop
        runtime.on_ladder = self.shed

    async def run(self) -> None:
        """Connect, and connect again after each end, until cancelled."""
        is_failing = False
        while True:
            self._telemetry.ws_state_is("connecting")
            try:
                reason = await self._one_connection()
                is_failing = False
            except NotSent as error:
                reason = "not_sent"
                if not is_failing:
                    self._log.warning("connect_failed", error=str(error))
                is_failing = True
            delay_ms = self._session.connection_lost(self._clock.mono_ns())
            self._telemetry.reconnect_needed(reason)
            self._telemetry.ws_state_is("waiting")
            self._alarm.set(None)
            await asyncio.sleep(delay_ms / 1000)

    async def _one_connection(self) -> str:
        transport = self._new_transport()
        closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def opened() -> None:
            self._transport = transport
            self._closed = closed
            self._drop_reason = ""
            self._opened()

        def received(raw: bytes) -> None:
            if self._transport is transport and not self._drop_reason:
                self._received(raw)

        def ended(reason: str) -> None:
            if not closed.done():
                closed.set_result(reason)

        callbacks = Callbacks(
            on_open=lambda: self._faults.call(opened),
            on_frame=self._faults.guarded(received),
            on_close=self._faults.guarded(ended),
        )
        try:
            await transport.connect(self._url, callbacks)
            reason = await closed
        except NotSent:
            if self._transport is None:
                raise
            reason = "not_sent"
        finally:
            self._transport = None
            transport.abort()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RELEASE_S):
                    await transport.closed()
        reason = self._drop_reason or reason
        self._log.warning("connection_lost", reason=reason, generation=self._session.generation)
        mono_ns, ts_ns = self._clock.mono_ns(), self._clock.ts_ns()
        self._runtime.apply(
            ConnectionLost(
                recv_mono_ns=mono_ns, recv_ts_ns=ts_ns, generation=self._session.generation, reason=reason[:100]
            )
        )
        return reason

    def send_post(self, frame: bytes) -> bool:
        """Hand a post to the open connection; False when there is none, and then nothing left."""
        if self._transport is None or self._drop_reason:
            return False
        self._transport.send(frame)
        self._session.post_sent(self._clock.mono_ns())
        return True

    def shed(self, ladder_step: int) -> None:
        """Do without the streams that no gate needs while the ladder says so (step 2 and above)."""
        wanted = ladder_step < SHED_STEP
        self._perform(self._session.keep_optional(is_wanted=wanted, now_mono_ns=self._clock.mono_ns()))

    def _opened(self) -> None:
        mono_ns, ts_ns = self._clock.mono_ns(), self._clock.ts_ns()
        actions = self._session.connection_opened(mono_ns)
        generation = self._session.generation
        self._runtime.apply(ConnectionOpened(recv_mono_ns=mono_ns, recv_ts_ns=ts_ns, generation=generation))
        self._telemetry.ws_state_is("connected")
        self._log.info("connection_opened", generation=generation, url=self._url)
        self._perform(actions)
        blocked_count = self._subscription_count - len(actions)
        if blocked_count > 0:
            self._telemetry.metrics.ws_msgs_blocked.labels("subscribe").inc(blocked_count)

    def _received(self, raw: bytes) -> None:
        event = self._runtime.frame_received(raw, self._session.generation)
        if type(event) is FrameMalformed:
            self._malformed(event)
        elif type(event) is ActionAnswered:
            self.on_answer(event)
        actions = self._session.frame_received(event, event.recv_mono_ns)
        if actions:  # without any, deadlines only moved back: the alarm finds out when it rings
            self._perform(actions)
        if self._session.is_feed_hostile and not self._is_hostile:
            self._hostile()

    def _malformed(self, event: FrameMalformed) -> None:
        """Log what is new; the engine and the session decide what follows."""
        if event.reason != SPOT_CONTEXT:
            return
        self._telemetry.metrics.spot_dropped.inc()
        if event.coin not in self._spot_coins and len(self._spot_coins) < _SPOT_COINS_MAX:
            self._spot_coins.add(event.coin)
            self._log.error("spot_market_dropped", coin=event.coin, generation=event.generation)

    def _hostile(self) -> None:
        self._is_hostile = True
        self._log.critical("feed_hostile", action="stop latch set; an operator has to look")
        self._runtime.apply(
            StopRequested(
                recv_mono_ns=self._clock.mono_ns(),
                recv_ts_ns=self._clock.ts_ns(),
                command_id=0,
                reason="feed_hostile",
                operator="sidecar",
            )
        )

    def _deadline_reached(self) -> None:
        self._perform(self._session.deadline_passed(self._clock.mono_ns()))

    def _resubscribe(self, coin: str) -> None:
        if self._transport is not None:
            self._perform(self._session.resubscribe(coin, self._clock.mono_ns()))

    def _perform(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Send):
                self._send(action.frame)
            else:
                self._drop(action.reason)
        if self._transport is not None:
            self._alarm.set(self._session.next_deadline_mono_ns())

    def _send(self, frame: bytes) -> None:
        if self._transport is not None:
            self._transport.send(frame)
            self._telemetry.metrics.ws_msgs_sent.labels(kind_of(frame)).inc()

    def _drop(self, reason: str) -> None:
        """End the connection; the reason replaces what the transport would say."""
        if self._transport is not None and not self._drop_reason:
            self._drop_reason = reason
            self._transport.abort()


def _ignored(_: ActionAnswered) -> None:
    """Stand in until something is connected."""
