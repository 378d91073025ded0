"""The parts of a session that trade for real, put together: key, nonces, executor, questions, heartbeat.

Rule 1: without an agent key nothing here asks, sends or beats: there is nothing of ours that a watchdog may close.
Rule 2: what may add risk is looked at once more right before it is signed, in the engine's own state (I-20).
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp

from streaming.core.state import EngineState
from streaming.core.trading.account import is_quiet
from streaming.core.trading.effects import ActionDecided
from streaming.core.trading.entries import is_real
from streaming.core.trading.events import FlattenRequested
from streaming.shell.clock import Clock
from streaming.shell.config.schema import Config
from streaming.shell.execution.agent_watch import AgentWatch
from streaming.shell.execution.busy_poll import BusyPoll
from streaming.shell.execution.exchange_client import ExchangeClient
from streaming.shell.execution.executor import Executor
from streaming.shell.execution.heartbeat import Heartbeat
from streaming.shell.execution.nonce_mark import NonceMark
from streaming.shell.execution.questions import Questions
from streaming.shell.execution.rehearsal import Rehearsal, Rehearsals
from streaming.shell.feed.connection import Feed
from streaming.shell.info.rest import InfoClient
from streaming.shell.info.venues import Venue
from streaming.shell.keys.agent_key import AgentKey, load_agent_key
from streaming.shell.keys.presignatures import Presignatures
from streaming.shell.process.faults import Faults
from streaming.shell.runtime import Runtime
from streaming.shell.telemetry.logs import get_logger
from streaming.shell.telemetry.metrics import Metrics

FLATTEN_S = 4.0
"""How long a shutdown tries to get flat (L-5 leaves the rest to our own end)."""


def agent_key_of(config: Config) -> AgentKey | None:
    """Load the configured key; None when nothing is signed.

    Raises:
        ConfigError: The file can not be used; see `load_agent_key`.
    """
    if not config.agent_key_file:
        return None
    password = config.agent_key_password_file
    return load_agent_key(Path(config.agent_key_file).expanduser(), Path(password).expanduser() if password else None)


@dataclass(frozen=True, slots=True)
class Signing:
    """A key and the nonces that were used with it."""

    key: AgentKey
    mark: NonceMark


def signing_of(config: Config, key: AgentKey | None, clock: Clock) -> Signing | None:
    """Take a key's nonces, before the first snapshot: the state that is recorded must know them (I-24).

    Raises:
        ConfigError: Another process signs with this key.
        StoreError: The nonce mark can not be kept.
    """
    if key is None:
        return None
    return Signing(key, NonceMark(config.root, key.address, program="sidecar", clock=clock))


def rehearsed(metrics: Metrics, store: Presignatures) -> None:
    """Count a rehearsal, and use the pause to begin one more signature."""
    metrics.rehearsals.inc()
    store.prepare()
    metrics.presignatures.labels("ready").set(len(store))
    metrics.presignatures.labels("used").set(store.used_count)


@dataclass(frozen=True, slots=True)
class Venues:
    """How the venue is reached besides the websocket."""

    venue: Venue
    http: aiohttp.ClientSession
    info: InfoClient


class Trading:
    """Signs, sends and asks for one session."""

    def __init__(  # noqa: PLR0913 - what a session is made of
        self,
        config: Config,
        signing: Signing | None,
        *,
        venues: Venues,
        runtime: Runtime,
        feed: Feed,
        clock: Clock,
        metrics: Metrics,
        faults: Faults,
        tag: str,
        dexes: tuple[str, ...],
    ) -> None:
        """Wire the parts to `runtime` and `feed`; nothing is sent before the engine asks.

        `dexes` are those whose accounts are read.

        Raises:
            StoreError: The heartbeat can not be kept.
        """
        self._runtime = runtime
        self._clock = clock
        self._policy = config.shutdown_policy
        self._log = get_logger(component="trading")
        self._mark = None if signing is None else signing.mark
        self._executor: Executor | None = None
        self._questions: Questions | None = None
        self._heartbeat: Heartbeat | None = None
        self._agent_watch: AgentWatch | None = None
        self._rehearsals: Rehearsals | None = None
        self._busy_poll: BusyPoll | None = None
        self._is_flat = asyncio.Event()
        if signing is not None:
            is_mainnet, store = venues.venue.name == "mainnet", signing.key.presignatures(config.presignature_count)
            self._executor = Executor(
                signer=signing.key.signer(is_mainnet=is_mainnet, store=store),
                mark=signing.mark,
                exchange=ExchangeClient(
                    venues.venue.base_url, session=venues.http, clock=clock, weights=venues.info.weights
                ),
                send_post=feed.send_post,
                may_send=self._reason_against,
                apply=runtime.apply,
                clock=clock,
                faults=faults,
            )
            self._questions = Questions(
                venues.info, account=config.account, dexes=dexes, apply=runtime.apply, clock=clock, faults=faults
            )
            runtime.on_action = self._executor.perform
            runtime.on_question = self._questions.ask
            feed.on_answer = self._executor.post_answered
            self._agent_watch = AgentWatch(config, venues.info, signing.key.address, apply=runtime.apply, clock=clock)
            state = runtime.state
            self._heartbeat = Heartbeat(
                config.root,
                tag,
                session_id=state.session.session_id,
                mono_ns=clock.mono_ns(),
                exit_only_coins=tuple(coin for coin, market in state.markets.items() if market.is_exit_only),
            )
            self._stay_warm(config, metrics, store, is_mainnet=is_mainnet)
            runtime.on_turn = self._turn_ended

    def jobs(self) -> list[Coroutine[Any, Any, None]]:
        """Return what has to run as long as the session."""
        if self._mark is None or self._questions is None or self._agent_watch is None:
            return []
        return [
            self._mark.keep(lambda: self._runtime.state.live.nonce.last),
            self._questions.watch_budget(),
            self._agent_watch.run(),
        ]

    async def flatten(self, reason: str, hurried: asyncio.Event) -> bool:
        """Get flat before the end, as far as the policy says and time allows; tell whether nothing is left open."""
        state = self._runtime.state
        if self._policy == "flatten" and not _is_flat(state):
            self._log.warning("flatten_began", positions=sorted(state.live.positions), reason=reason)
            self._runtime.apply(
                FlattenRequested(
                    recv_mono_ns=self._clock.mono_ns(),
                    recv_ts_ns=self._clock.ts_ns(),
                    command_id=0,
                    reason=reason,
                    operator="sidecar",
                )
            )
            waits = [asyncio.ensure_future(self._is_flat.wait()), asyncio.ensure_future(hurried.wait())]
            await asyncio.wait(waits, timeout=FLATTEN_S, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
        if not _is_flat(state):
            left = {coin: str(position.sz) for coin, position in state.live.positions.items()}
            self._log.critical("position_left", positions=left, policy=self._policy)
        return _is_flat(state)

    async def close(self, *, is_flat: bool) -> None:
        """Stop asking and sending; what is left open is for the next start, or for the watchdog."""
        if self._rehearsals is not None:
            self._rehearsals.close()
        if self._busy_poll is not None:
            self._busy_poll.close()
        if self._executor is not None:
            await self._executor.close()
        if self._questions is not None:
            await self._questions.close()
        if self._heartbeat is not None:
            if is_flat:
                self._heartbeat.end()
            self._heartbeat.close()
        if self._mark is not None:
            self._mark.close()

    def _stay_warm(self, config: Config, metrics: Metrics, store: Presignatures, *, is_mainnet: bool) -> None:
        """Keep the way from a tick to an order warm between turns, as far as the configuration wants it."""
        state, clock = self._runtime.state, self._clock
        if config.rehearsal_interval_ms:
            self._rehearsals = Rehearsals(
                state,
                Rehearsal(is_mainnet=is_mainnet, is_presigned=config.presignature_count > 0).run,
                interval_ms=config.rehearsal_interval_ms,
                clock=clock,
                on_done=partial(rehearsed, metrics, store),
            )
        if config.busy_poll_ms:
            self._busy_poll = BusyPoll(
                state, poll_ms=config.busy_poll_ms, clock=clock, on_crowded=metrics.busy_poll_crowded.inc
            )

    def _turn_ended(self, mono_ns: int, seq: int) -> None:
        if self._heartbeat is not None:
            self._heartbeat.beat(mono_ns, seq)
        if self._rehearsals is not None:
            self._rehearsals.turn_ended(mono_ns)
        if self._busy_poll is not None:
            self._busy_poll.turn_ended()
        if self._runtime.state.live.is_flattening and _is_flat(self._runtime.state):
            self._is_flat.set()

    def _reason_against(self, action: ActionDecided) -> str:
        state = self._runtime.state
        if state.control.latch is not None:
            return "stop_latch"
        if state.live.is_flattening:
            return "flattening"
        return "" if all(is_real(state, order.coin) for order in action.orders) else "not_allowed"


def _is_flat(state: EngineState) -> bool:
    return not state.live.positions and is_quiet(state.live)
