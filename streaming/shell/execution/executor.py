"""Signs what the engine decided and sends it: the last look, the bytes, and what became of them.

Why this module exists: between the decision and the socket nothing may add risk that was not meant, and afterwards
nobody may be wrong about whether bytes left. Every end is an event; the engine alone draws conclusions.

Rule 1: `perform` is called after the decision was written down (I-02), runs to completion and does no I/O but the send.
Rule 2: latch, arming and allow-list are read again for what may add risk, the deadline for everything (I-05, I-20).
Rule 3: `ActionNotSent` is a proof that no byte left; from the hand-over on it is an answer or `ActionOutcomeUnknown`.
Rule 4: nothing is sent twice. What the websocket did not take goes over HTTP if it can not add risk; an entry never
does: its edge is gone.
Rule 5: requests over HTTP have places of their own, some of them for reduce-only orders alone (F-36).
"""

import asyncio
from collections.abc import Callable
from typing import Final

from streaming.core.errors import NotSent, OutcomeUnknown, check
from streaming.core.events import AnyEvent
from streaming.core.trading.effects import ActionDecided
from streaming.core.trading.events import ActionAnswered, ActionNotSent, ActionOutcomeUnknown, ActionSent
from streaming.core.trading.refusal import RefusalCode
from streaming.core.units import NS_PER_MS, NS_PER_S
from streaming.hyperliquid.actions import post_frame
from streaming.hyperliquid.answers import answer_of_body
from streaming.hyperliquid.signing import Signer
from streaming.shell.clock import Clock
from streaming.shell.execution.exchange_client import ExchangeClient
from streaming.shell.execution.nonce_mark import NonceMark
from streaming.shell.execution.wire_action import signed_action
from streaming.shell.process.crashpoint import AFTER_INTENT_WRITTEN, AFTER_SEND, pass_crash_point
from streaming.shell.process.faults import Faults

REST_COUNT_MAX: Final = 8
"""Requests over HTTP without an answer at a time."""
REST_EXIT_COUNT: Final = 4
"""Places among them that only reduce-only orders may take."""
POST_PAUSE_NS: Final = NS_PER_S
"""How long posts are avoided after the venue refused one for their number."""
_REASON_LENGTH_MAX: Final = 200

MaySend = Callable[[ActionDecided], str]
"""Reason against sending now, empty if there is none: reads latch, arming and allow-list as they are."""


class Executor:
    """Sends the actions of one agent."""

    def __init__(
        self,
        *,
        signer: Signer | None,
        mark: NonceMark | None,
        exchange: ExchangeClient,
        send_post: Callable[[bytes], bool],
        may_send: MaySend,
        apply: Callable[[AnyEvent], None],
        clock: Clock,
        faults: Faults,
    ) -> None:
        """Send nothing before `perform`.

        Args:
            signer: The agent's key; None refuses every action.
            mark: Its nonces; comes with the signer.
            exchange: Way over HTTP.
            send_post: Hands a frame to the open websocket; False if there is none, and then nothing left.
            may_send: See `MaySend`.
            apply: `Runtime.apply`.
            clock: Stamps and deadlines.
            faults: Takes what a background request raises.
        """
        self._signer = signer
        self._mark = mark
        self._exchange = exchange
        self._send_post = send_post
        self._may_send = may_send
        self._apply = apply
        self._clock = clock
        self._faults = faults
        self._requests: set[asyncio.Task[None]] = set()
        self._avoids_posts_until_mono_ns = 0

    def perform(self, action: ActionDecided) -> None:
        """Sign and send one action that was written down."""
        if not action.may_add_risk:
            check(all(order.is_reduce_only for order in action.orders), "I-18", id=action.action_id)
        pass_crash_point(AFTER_INTENT_WRITTEN)
        signer = self._signer
        reason = self._reason_against(action)
        if reason or signer is None:
            self._not_sent(action, reason or "no_signer")
            return
        body = signed_action(signer, action)
        if self._avoids_posts_until_mono_ns and self._clock.mono_ns() < self._avoids_posts_until_mono_ns:
            self._use_second_way(action, body, "posts_refused")
            return
        try:
            is_sent = self._send_post(post_frame(action.action_id, body))
        except OSError as error:
            self._unknown(action, f"send: {error}")
            return
        if is_sent:
            pass_crash_point(AFTER_SEND)
            self._sent(action, is_rest=False)
        else:
            self._use_second_way(action, body, "no_connection")

    def post_answered(self, answer: ActionAnswered) -> None:
        """Take note of an answer that came over the websocket: too many posts under way closes that way for a while."""
        if answer.code is RefusalCode.RATE_LIMIT and answer.generation >= 0:
            self._avoids_posts_until_mono_ns = answer.recv_mono_ns + POST_PAUSE_NS

    async def close(self) -> None:
        """Drop the requests under way; their outcome is for the next start to find out."""
        for request in self._requests:
            request.cancel()
        await asyncio.gather(*self._requests, return_exceptions=True)

    def _reason_against(self, action: ActionDecided) -> str:
        if action.may_add_risk and (reason := self._may_send(action)):
            return reason
        if self._clock.ts_ns() >= action.expires_ts_ms * NS_PER_MS:
            return "expired"
        if self._mark is None:
            return "no_signer"
        return "nonce_mark" if action.nonce > self._mark.limit else ""

    def _use_second_way(self, action: ActionDecided, body: bytes, why: str) -> None:
        if action.may_add_risk:
            self._not_sent(action, why)
            return
        places = REST_COUNT_MAX if action.orders else REST_COUNT_MAX - REST_EXIT_COUNT
        if len(self._requests) >= places:
            self._not_sent(action, "rest_in_flight")
            return
        request = asyncio.get_running_loop().create_task(self._request(action, body))
        self._requests.add(request)
        request.add_done_callback(self._ended)

    async def _request(self, action: ActionDecided, body: bytes) -> None:
        count = len(action.orders) + len(action.cancels)
        try:
            answer = await self._exchange.post(
                body,
                item_count=count,
                on_handed_over=lambda: self._faults.call(lambda: self._sent(action, is_rest=True)),
            )
        except NotSent as error:
            self._not_sent(action, str(error))
        except OutcomeUnknown as error:
            self._unknown(action, str(error))
        else:
            mono_ns, ts_ns = self._clock.mono_ns(), self._clock.ts_ns()
            self._apply(answer_of_body(action.action_id, answer.status, answer.body, mono_ns, ts_ns))

    def _ended(self, request: asyncio.Task[None]) -> None:
        self._requests.discard(request)
        if not request.cancelled() and (error := request.exception()) is not None:
            self._faults.report(error)

    def _sent(self, action: ActionDecided, *, is_rest: bool) -> None:
        self._apply(
            ActionSent(
                recv_mono_ns=self._clock.mono_ns(),
                recv_ts_ns=self._clock.ts_ns(),
                action_id=action.action_id,
                is_rest=is_rest,
            )
        )

    def _not_sent(self, action: ActionDecided, reason: str) -> None:
        self._apply(
            ActionNotSent(
                recv_mono_ns=self._clock.mono_ns(),
                recv_ts_ns=self._clock.ts_ns(),
                action_id=action.action_id,
                reason=reason[:_REASON_LENGTH_MAX],
            )
        )

    def _unknown(self, action: ActionDecided, reason: str) -> None:
        self._apply(
            ActionOutcomeUnknown(
                recv_mono_ns=self._clock.mono_ns(),
                recv_ts_ns=self._clock.ts_ns(),
                action_id=action.action_id,
                reason=reason[:_REASON_LENGTH_MAX],
            )
        )
