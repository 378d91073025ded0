"""The life of the sidecar process: start in order, run until something ends, shut down within a deadline.

Start: lock → token → control port → what the session before left → venue's listings → journal → feed → API →
projecting child. Nothing is sent to the venue's websocket before the lock, the preflight and the journal are there
(I-30, I-19).

End (L-5, ≤ 10 s): real positions are closed as the policy says, inputs stop, `SessionClosed` is the last one, the
journal is closed, the child makes its last pass. A second signal shortens the waits. An unexpected exception sets the
stop latch, is journaled, and ends with exit 70.
"""

import asyncio
import gc
import os
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from streaming.contracts.control import STATUS_FILE, Endpoint
from streaming.contracts.paths import control_folder, journal_folder
from streaming.core.errors import StoreError
from streaming.core.events import ArmRequested, SessionClosed, SpecsReceived, StopRequested
from streaming.core.recovery import Carried
from streaming.core.registry import RegistryPlan
from streaming.core.units import NS_PER_S
from streaming.shell.config.load import Effective
from streaming.shell.config.schema import Config
from streaming.shell.control.api import ControlApi
from streaming.shell.control.credential import load_or_create_platform_token, load_or_create_token
from streaming.shell.control.sidecar import RunningSidecar
from streaming.shell.execution.agent_watch import refuse_unless_signing
from streaming.shell.execution.trading import agent_key_of
from streaming.shell.info.rest import InfoClient
from streaming.shell.journal.recovery import last_state
from streaming.shell.keys.agent_key import AgentKey
from streaming.shell.process import assemble
from streaming.shell.process.child import watch_backlog
from streaming.shell.process.faults import Faults
from streaming.shell.process.lock import InstanceLock
from streaming.shell.process.parts import Ground, Parts
from streaming.shell.process.sockets import LOOPBACK, bind_loopback
from streaming.shell.telemetry.logs import StderrWriter, bind_session, get_logger

EXIT_OK, EXIT_STORE, EXIT_POSITION_LEFT, EXIT_BUG = 0, 4, 7, 70
END_S = 9.0
LAST_PASS_HURRIED_S = 1.0
"""From the signal to the end of the child's last pass; the rest of the 10 s is for our own part (L-5)."""
BACKLOG_S = 5.0

Announce = Callable[[Endpoint, RegistryPlan], None]


class Signals:
    """SIGTERM and SIGINT: the first asks to end, a second shortens the waits (F-68)."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take over both signals in `loop`."""
        self.ended = asyncio.Event()
        self.hurried = asyncio.Event()
        self.reason = "stopped"
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._received, number.name)

    def _received(self, name: str) -> None:
        if self.ended.is_set():
            self.hurried.set()
        self.reason = name.lower()
        self.ended.set()


class Supervisor:
    """Runs the parts until a signal or a fault, then ends them in order."""

    def __init__(self, loaded: Effective, *, read_config: Callable[[], Effective], logs: StderrWriter) -> None:
        """Run `loaded`; `read_config` reads the same sources again."""
        self._loaded = loaded
        self._read_config = read_config
        self._logs = logs
        self._log = get_logger(component="supervise")

    async def run(self, announce: Announce) -> int:
        """Run the sidecar and return its exit code.

        Raises:
            Hip3Error: Whatever stands against the start (`AlreadyRunning`, `PortOccupied`, `PreflightRefused`, ...).
        """
        config = self._loaded.config
        loop = asyncio.get_running_loop()
        faults = Faults()
        loop.set_exception_handler(faults.loop_exception)
        signals = Signals(loop)
        key = agent_key_of(config)
        with InstanceLock(config.root, config.venue, config.account) as lock:
            token = load_or_create_token(config.root)
            listener = bind_loopback(config.control_port, key="control_port")
            with listener:
                async with aiohttp.ClientSession() as http:
                    client = assemble.info_client(config, http)
                    carried = last_state(config.root, config.venue, config.account)
                    plan = await _unless_ended(_checked_plan(config, client, key, carried), signals)
                    if plan is None:
                        return EXIT_OK
                    for warning in plan.warnings:
                        self._log.warning("preflight_noted", note=warning)
                    ground = Ground(self._loaded, carried, plan, client, http, faults, key, lock.tag)
                    parts = Parts(ground)
                    api = self._api(parts, faults, token, listener.getsockname()[1])
                    runner = web.AppRunner(api.app(), access_log=None, shutdown_timeout=0.5, handle_signals=False)
                    await runner.setup()
                    await web.SockSite(runner, listener).start()
                    endpoint = self._endpoint(parts, listener.getsockname()[1])
                    announce(endpoint, plan)
                    try:
                        return await self._live(parts, plan, signals, faults)
                    finally:
                        parts.broadcast.close()
                        await runner.cleanup()
                        _endpoint_path(config.root).unlink(missing_ok=True)

    async def _live(self, parts: Parts, plan: RegistryPlan, signals: Signals, faults: Faults) -> int:
        """Run the parts until something ends; everything a session writes happens in here."""
        limits = self._loaded.config.limits
        session = parts.session
        bind_session(session.session_id, session.config_hash, lambda: parts.runtime.state.seq)
        self._log.info(
            "session_began",
            code_version=session.code_version,
            market_count=len(plan.specs),
            disabled_gates=limits.gates.disabled_gates,
        )
        parts.metrics.info.labels(session.code_version, session.venue, session.session_id).set(1)
        self._begin(parts, plan)
        _spare_collector()
        jobs = (
            parts.feed.run(),
            parts.poller.run(),
            parts.health.run(),
            parts.child.run(),
            parts.crash_loop.watch(),
            self._watch(parts),
            *parts.trading.jobs(),
        )
        tasks = [asyncio.create_task(_reported(job, faults)) for job in jobs]
        fault_task = asyncio.create_task(faults.first())
        end_task = asyncio.create_task(signals.ended.wait())
        await asyncio.wait({fault_task, end_task}, return_when=asyncio.FIRST_COMPLETED)
        deadline_s = asyncio.get_running_loop().time() + END_S
        is_flat = await self._flatten(parts, signals, fault_task)
        fault = fault_task.result() if fault_task.done() else None
        for task in (*tasks, fault_task, end_task):
            task.cancel()
        await asyncio.gather(*tasks, fault_task, end_task, return_exceptions=True)
        code = self._close_session(parts, fault, signals.reason)
        await parts.trading.close(is_flat=is_flat)
        if code == EXIT_OK and not is_flat:
            code = EXIT_POSITION_LEFT
        left_s = deadline_s - asyncio.get_running_loop().time()
        timeout_s = LAST_PASS_HURRIED_S if signals.hurried.is_set() else max(LAST_PASS_HURRIED_S, left_s)
        await _hurried(parts.child.stop(timeout_s), signals)
        reason = signals.reason if fault is None else f"fault: {type(fault).__name__}"
        self._log.info("session_ended", exit_code=code, reason=reason)
        return code

    async def _flatten(self, parts: Parts, signals: Signals, fault_task: asyncio.Task[BaseException]) -> bool:
        """Get flat while everything still runs; after a fault nothing is decided any more, the watchdog has to."""
        if fault_task.done():
            live = parts.runtime.state.live
            return not live.positions and not live.orders
        return await parts.trading.flatten(signals.reason, signals.hurried)

    def _begin(self, parts: Parts, plan: RegistryPlan) -> None:
        """Apply the first inputs: what is listed, and what the sessions before this one left to say."""
        parts.telemetry.control_carried(parts.runtime.state.control)
        parts.telemetry.trading.account_carried(parts.runtime.state.live)
        stamps = {"recv_mono_ns": parts.clock.mono_ns(), "recv_ts_ns": parts.clock.ts_ns()}
        parts.runtime.apply(SpecsReceived(**stamps, specs=plan.specs))
        if reason := parts.note.reason():
            self._log.critical("last_session_failed", reason=reason, action="stop latch set; look, then `hip3 reset`")
            parts.runtime.apply(StopRequested(**stamps, command_id=0, reason=reason, operator="sidecar"))
        if parts.crash_loop.started(stamps["recv_ts_ns"]):
            self._log.critical("crash_loop", action="disarmed; look, then `hip3 arm`")
            parts.runtime.apply(ArmRequested(**stamps, command_id=0, is_armed=False, operator="sidecar"))
        parts.runtime.flush()
        parts.note.clear()

    def _close_session(self, parts: Parts, fault: BaseException | None, reason: str) -> int:
        """Write the end of the session down, and the stop latch first if it ends by a fault."""
        stamps = {"recv_mono_ns": parts.clock.mono_ns(), "recv_ts_ns": parts.clock.ts_ns()}
        code = EXIT_OK
        if fault is not None:
            code = EXIT_STORE if isinstance(fault, StoreError) else EXIT_BUG
            reason = f"fault: {type(fault).__name__}"
            self._log.critical("session_failed", error=str(fault)[:500], exc_info=fault, exit_code=code)
            parts.note.write(reason)
        try:
            if code == EXIT_BUG:
                latch = StopRequested(**stamps, command_id=0, reason=reason, operator="sidecar")
                parts.runtime.apply(latch)
            parts.runtime.apply(SessionClosed(**stamps, reason=reason))
            parts.runtime.close()
            parts.journal.close()
            if fault is None:
                parts.crash_loop.forget()
        except Exception as error:  # noqa: BLE001 - the process ends here whatever it was; the code says so
            code = EXIT_STORE if isinstance(error, StoreError) else EXIT_BUG
            self._log.critical("session_not_closed", error=str(error)[:500], exit_code=code)
        return code

    def _api(self, parts: Parts, faults: Faults, token: str, port: int) -> ControlApi:
        sidecar = RunningSidecar(
            runtime=parts.runtime,
            journal=parts.journal,
            telemetry=parts.telemetry,
            clock=parts.clock,
            version=parts.session.code_version,
            config=self._loaded.config,
            read_config=self._read_config,
            faults=faults,
        )
        return ControlApi(
            sidecar=sidecar,
            metrics=parts.metrics,
            broadcast=parts.broadcast,
            token=token,
            port=port,
            platform_token=load_or_create_platform_token(self._loaded.config.root),
        )

    def _endpoint(self, parts: Parts, port: int) -> Endpoint:
        endpoint = Endpoint(
            pid=os.getpid(),
            session_id=parts.session.session_id,
            venue=parts.session.venue,
            control_url=f"http://{LOOPBACK}:{port}",
            started_ts_ns=parts.clock.ts_ns(),
        )
        path = _endpoint_path(self._loaded.config.root)
        aside = path.with_suffix(".tmp")
        aside.write_bytes(msgspec.json.encode(endpoint))
        aside.rename(path)
        return endpoint

    async def _watch(self, parts: Parts) -> None:
        """Show the backlog of the projection and lost log lines, every few seconds."""
        folder = journal_folder(self._loaded.config.root, parts.session.venue, parts.session.session_id)
        while True:
            now_ts_s = parts.clock.ts_ns() / NS_PER_S
            watch_backlog(parts.metrics, folder, now_ts_s=now_ts_s, dropped_line_count=self._logs.dropped_count)
            await asyncio.sleep(BACKLOG_S)


async def _checked_plan(
    config: Config, client: InfoClient, key: AgentKey | None, carried: Carried | None
) -> RegistryPlan:
    plan = await assemble.checked_plan(config, client, () if carried is None else carried.open_coins)
    if key is not None:
        await refuse_unless_signing(config, client, key.address)
    return plan


def _spare_collector() -> None:
    """Take everything that lives as long as the session out of the collector's sight.

    With pyarrow, aiohttp and our own parts loaded a full collection took 30 ms, in which no tick is looked at; what is
    made afterwards is little. It is done before the first connection, so that this last long one delays nothing.
    """
    gc.collect()
    gc.freeze()


def _endpoint_path(root: Path) -> Path:
    return control_folder(root) / STATUS_FILE


async def _reported(job: Coroutine[Any, Any, None], faults: Faults) -> None:
    """Run a job that must not end; what it raises becomes the fault that ends the process (F-71)."""
    try:
        await job
    except Exception as error:  # noqa: BLE001 - nothing is swallowed: supervise ends the process with it
        faults.report(error)


async def _unless_ended(job: Coroutine[Any, Any, RegistryPlan], signals: Signals) -> RegistryPlan | None:
    """Return what `job` returns, or None if a signal came first."""
    task = asyncio.ensure_future(job)
    ended = asyncio.ensure_future(signals.ended.wait())
    await asyncio.wait({task, ended}, return_when=asyncio.FIRST_COMPLETED)
    ended.cancel()
    if not task.done():
        task.cancel()
        await asyncio.wait({task})
        return None
    return task.result()


async def _hurried(job: Coroutine[Any, Any, bool], signals: Signals) -> None:
    """Wait for the child's last pass; a second signal leaves it only a moment more."""
    task = asyncio.ensure_future(job)
    hurried = asyncio.ensure_future(signals.hurried.wait())
    await asyncio.wait({task, hurried}, return_when=asyncio.FIRST_COMPLETED)
    hurried.cancel()
    if not task.done():
        await asyncio.wait({task}, timeout=LAST_PASS_HURRIED_S)
    if not task.done():
        task.cancel()
    await asyncio.gather(task, return_exceptions=True)
