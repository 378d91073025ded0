"""The running sidecar as the control API sees it: status, commands and the reload of limits."""

from collections.abc import Callable

from streaming.contracts.control import Answer, RotationAnswer, StatusView
from streaming.core.effects import CommandAnswered
from streaming.core.errors import ConfigError
from streaming.core.events import LimitsReloaded
from streaming.core.limits import widened
from streaming.core.units import NS_PER_MS
from streaming.shell.clock import Clock
from streaming.shell.config.load import Effective
from streaming.shell.config.schema import Config, config_hash, config_json
from streaming.shell.control.status import ready_count, rotation_view, status_view
from streaming.shell.control.verb import MakeEvent
from streaming.shell.journal.writer import JournalWriter
from streaming.shell.process.faults import Faults
from streaming.shell.runtime import Runtime
from streaming.shell.telemetry.logs import bind_config, get_logger
from streaming.shell.telemetry.meter import Telemetry

STALL_MS_MAX = 10_000
"""The engine's own clock ticks every second; without an input for this long something hangs."""


class RunningSidecar:
    """Answers questions and carries commands to the engine."""

    def __init__(
        self,
        *,
        runtime: Runtime,
        journal: JournalWriter,
        telemetry: Telemetry,
        clock: Clock,
        version: str,
        config: Config,
        read_config: Callable[[], Effective],
        faults: Faults,
    ) -> None:
        """Start with `config`; `read_config` reads the sources again at a reload, `faults` ends the process."""
        self._runtime = runtime
        self._journal = journal
        self._telemetry = telemetry
        self._clock = clock
        self._version = version
        self._config = config
        self._read_config = read_config
        self._faults = faults
        self._started_mono_ns = clock.mono_ns()
        self._log = get_logger(component="control")

    def status(self) -> StatusView:
        """Return the status now."""
        return status_view(
            self._runtime.state,
            self._telemetry,
            version=self._version,
            config_hash=config_hash(self._config),
            now_mono_ns=self._clock.mono_ns(),
            started_mono_ns=self._started_mono_ns,
        )

    def rotation(self) -> RotationAnswer:
        """Return the rotation in force."""
        return rotation_view(self._runtime.state)

    def unready_reasons(self) -> tuple[str, ...]:
        """Return why the process can not do its work now, nothing if it can."""
        state = self._runtime.state
        stalled_ms = (self._clock.mono_ns() - state.mono_ns) // NS_PER_MS
        reasons = (
            ("no websocket connection", not state.is_connected),
            ("no market is ready", ready_count(state) == 0),
            ("the journal is not healthy", state.is_writer_closed),
            (f"no input for {stalled_ms} ms", stalled_ms > STALL_MS_MAX),
        )
        return tuple(text for text, is_true in reasons if is_true)

    async def command(self, make: MakeEvent) -> CommandAnswered:
        """Put a command through the engine; it is journaled before it is answered.

        Raises:
            TimeoutError: The engine gave no answer in time.
        """
        try:
            answer = await self._runtime.command(make)
        except TimeoutError:
            raise
        except Exception as error:
            # The server would answer 500 and go on with half a step done: the process ends with it instead (F-71).
            self._faults.report(error)
            raise
        self._log.info("command_answered", is_accepted=answer.is_accepted, reasons=list(answer.reasons))
        return answer

    async def reload(self) -> Answer:
        """Read the configuration again; tighter limits are applied, anything else is refused whole."""
        try:
            config = self._read_config().config
        except ConfigError as error:
            return Answer(is_accepted=False, reasons=(str(error),))
        if reasons := self._reload_problems(config):
            return Answer(is_accepted=False, reasons=reasons)
        new_hash = config_hash(config)
        answer = await self.command(
            lambda command_id, mono_ns, ts_ns: LimitsReloaded(
                recv_mono_ns=mono_ns,
                recv_ts_ns=ts_ns,
                command_id=command_id,
                config_hash=new_hash,
                limits=config.limits,
            )
        )
        if answer.is_accepted:
            self._config = config
            self._journal.set_config(new_hash, config_json(config))
            bind_config(new_hash)
        return Answer(is_accepted=answer.is_accepted, reasons=answer.reasons)

    def _reload_problems(self, config: Config) -> tuple[str, ...]:
        fixed = [name for name in config.__struct_fields__ if name != "limits"]
        changed = [name for name in fixed if getattr(config, name) != getattr(self._config, name)]
        wider = widened(self._runtime.state.limits, config.limits)
        return tuple(
            [f"{name}: expected unchanged, a reload sets limits only; restart to change it" for name in changed]
            + [
                f"limits.{name.removeprefix('limits.')}: expected no wider than now (I-32); restart to widen"
                for name in wider
            ]
        )
