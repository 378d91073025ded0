"""Everything one session consists of, wired in the order in which each part needs the ones before it.

Rule: the journal's first snapshot holds the state from which everything is decided, the nonces already used included;
whoever changes the state before the first input does so before the journal is opened (I-24).
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from random import Random

import aiohttp

from streaming.core.effects import AnyOutput
from streaming.core.engine import encode_snapshot, new_state
from streaming.core.recovery import Carried
from streaming.core.registry import RegistryPlan
from streaming.core.state import EngineState, SessionInfo
from streaming.core.trading.nonce import raise_floor
from streaming.hyperliquid.session import Session
from streaming.shell.clock import SystemClock
from streaming.shell.config.load import Effective
from streaming.shell.config.schema import Config, config_json
from streaming.shell.control.broadcast import Broadcast
from streaming.shell.execution.trading import Signing, Trading, Venues, signing_of
from streaming.shell.feed.connection import Feed
from streaming.shell.feed.transport import transport_factory
from streaming.shell.info.registry import RegistryPoller
from streaming.shell.info.rest import InfoClient
from streaming.shell.info.venues import venue_named
from streaming.shell.journal.writer import JournalWriter
from streaming.shell.keys.agent_key import AgentKey
from streaming.shell.process import assemble
from streaming.shell.process.child import Child
from streaming.shell.process.crashloop import CrashLoop
from streaming.shell.process.fault_note import FaultNote
from streaming.shell.process.faults import Faults
from streaming.shell.process.health import Health
from streaming.shell.runtime import Runtime
from streaming.shell.telemetry.meter import Telemetry
from streaming.shell.telemetry.metrics import Metrics
from streaming.shell.telemetry.narrate import Narrator


@dataclass(frozen=True, slots=True)
class Ground:
    """What a session stands on: made before it, outlives it."""

    loaded: Effective
    carried: Carried | None
    """What the session before left."""
    plan: RegistryPlan
    client: InfoClient
    http: aiohttp.ClientSession
    faults: Faults
    key: AgentKey | None
    tag: str
    """`InstanceLock.tag`."""


class Parts:
    """One session, wired but not yet running."""

    def __init__(self, ground: Ground) -> None:
        """Open the journal and build the parts around it.

        Raises:
            ConfigError: Another process signs with the agent's key.
            StoreError: The warehouse can not be written.
        """
        config, plan, client = ground.loaded.config, ground.plan, ground.client
        self.note = FaultNote(config.root, ground.tag)
        self.crash_loop = CrashLoop(config.root, ground.tag)
        self.clock = SystemClock()
        agent = "" if ground.key is None else ground.key.address
        self.session = assemble.session_info(config, self.clock.ts_ns(), agent=agent)
        self.metrics = Metrics()
        self.telemetry = Telemetry(self.metrics, (spec.coin for spec in plan.specs))
        signing = signing_of(config, ground.key, self.clock)
        state = _first_state(config, self.session, ground, signing)
        self.journal = _opened_journal(config, self.session, plan, state, self.clock)
        self.runtime = Runtime(state=state, journal=self.journal, clock=self.clock, telemetry=self.telemetry)
        self.broadcast = Broadcast(self.metrics)
        self.narrator = Narrator()
        self.runtime.on_outputs = self._decided
        subscriptions = assemble.subscriptions(config, plan.specs)
        ws_session = assemble.new_session(subscriptions)
        venue = venue_named(config.venue, sim_port=config.sim_port)
        self.feed = Feed(
            url=venue.ws_url,
            session=ws_session,
            subscription_count=len(subscriptions),
            new_transport=transport_factory(config.transport),
            runtime=self.runtime,
            clock=self.clock,
            telemetry=self.telemetry,
            faults=ground.faults,
        )
        self.trading = Trading(
            config,
            signing,
            venues=Venues(venue, ground.http, client),
            runtime=self.runtime,
            feed=self.feed,
            clock=self.clock,
            metrics=self.metrics,
            faults=ground.faults,
            tag=ground.tag,
            dexes=tuple(dict.fromkeys((*config.dexes, *[spec.dex for spec in (*plan.specs, *plan.delisted)]))),
        )
        self.poller = self._poller(config, plan, client)
        self.health = self._health(ws_session, client)
        self.child = _projection(config, self.session.session_id, self.metrics)

    def _poller(self, config: Config, plan: RegistryPlan, client: InfoClient) -> RegistryPoller:
        return RegistryPoller(
            client,
            config.dexes,
            config.account or None,
            watched=plan.specs,
            emit=self.runtime.apply,
            clock=self.clock,
            random=Random(self.session.session_id),  # noqa: S311 - jitter, no secret
            coins=config.coins,
        )

    def _health(self, ws_session: Session, client: InfoClient) -> Health:
        def rate_uses(now_mono_ns: int) -> Mapping[str, Decimal]:
            return {"messages": ws_session.message_use_ratio(now_mono_ns), "ip_weight": client.use_ratio()}

        return Health(
            runtime=self.runtime, journal=self.journal, clock=self.clock, metrics=self.metrics, rate_uses=rate_uses
        )

    def _decided(self, outputs: Sequence[AnyOutput]) -> None:
        """Tell log and readers what was decided and written down."""
        self.narrator.tell(outputs)
        self.broadcast.publish(outputs)


def _first_state(config: Config, session: SessionInfo, ground: Ground, signing: Signing | None) -> EngineState:
    plan = ground.plan
    state = new_state(session, config.limits, plan.specs, exit_only=plan.exit_only, carried=ground.carried)
    if signing is not None:
        raise_floor(state.live.nonce, signing.mark.floor)
    return state


def _opened_journal(
    config: Config, session: SessionInfo, plan: RegistryPlan, state: EngineState, clock: SystemClock
) -> JournalWriter:
    journal = JournalWriter(
        config.root,
        session,
        segment_bytes_max=config.journal_segment_bytes_max,
        segment_age_s_max=config.journal_segment_age_s_max,
        clock=clock,
    )
    journal.open(encode_snapshot(state), config_json(config), plan.specs)
    return journal


def _projection(config: Config, session_id: str, metrics: Metrics) -> Child:
    whose = ["--root", str(config.root), "--venue", config.venue, "--session", session_id]
    bounds = ["--keep-bytes", str(config.retention_bytes_max), "--keep-days", str(config.retention_days_max)]
    once = ["-m", "streaming.shell.tables.follow", *whose, "--parent", str(os.getpid())]
    return Child([*once, "--follow", *bounds], metrics, last_pass=once)
