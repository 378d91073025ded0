"""Parts of the shell wired for tests: a clock that tests move, and a runtime over the real engine and journal."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from core_builders import START_MONO_NS, START_TS_NS, a_spec, an_engine

from streaming.core.effects import AnyOutput
from streaming.core.engine import encode_snapshot
from streaming.core.limits import Limits
from streaming.core.market import MarketSpec
from streaming.core.state import EngineState
from streaming.shell.journal.writer import JournalWriter
from streaming.shell.runtime import Runtime
from streaming.shell.telemetry.meter import Telemetry
from streaming.shell.telemetry.metrics import Metrics


class FakeClock:
    """Stands still until told; `advance` moves both clocks."""

    def __init__(self) -> None:
        self.offset_ns = 0

    def mono_ns(self) -> int:
        return START_MONO_NS + self.offset_ns

    def ts_ns(self) -> int:
        return START_TS_NS + self.offset_ns

    def advance(self, ms: float) -> None:
        self.offset_ns += round(ms * 1_000_000)


@dataclass
class Shell:
    """A runtime with everything around it that is not I/O to the venue."""

    runtime: Runtime
    journal: JournalWriter
    telemetry: Telemetry
    metrics: Metrics
    clock: FakeClock
    outputs: list[AnyOutput]

    async def turn(self) -> None:
        """Let the loop finish the open turn."""
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    def close(self) -> None:
        self.runtime.close()
        self.journal.close()

    def of_type(self, kind: type) -> list[AnyOutput]:
        return [output for output in self.outputs if isinstance(output, kind)]

    def value(self, name: str, **labels: str) -> float | None:
        """Return a sample of a metric, None if it does not exist."""
        return self.metrics.registry.get_sample_value(name, labels)


def when(shell: Shell, name: str, condition: Callable[[], bool]) -> asyncio.Event:
    """Return an event that is set once a telemetry method was called and `condition` holds."""
    reached = asyncio.Event()
    original = getattr(shell.telemetry, name)

    def call(*arguments: object) -> None:
        original(*arguments)
        if condition():
            reached.set()

    setattr(shell.telemetry, name, call)
    return reached


def a_shell(
    root: Path,
    *specs: MarketSpec,
    limits: Limits | None = None,
    clock: FakeClock | None = None,
    state: EngineState | None = None,
) -> Shell:
    """Open a journal in `root` and wire a runtime to it; needs a running loop for its turns."""
    specs = specs or (a_spec(),)
    clock = clock or FakeClock()
    state = state or an_engine(*specs, limits=limits)
    metrics = Metrics()
    telemetry = Telemetry(metrics, [spec.coin for spec in specs])
    journal = JournalWriter(root, state.session, segment_bytes_max=2**26, segment_age_s_max=3_600, clock=clock)
    journal.open(encode_snapshot(state), "{}", specs, seq_last=state.seq)
    runtime = Runtime(state=state, journal=journal, clock=clock, telemetry=telemetry)
    outputs: list[AnyOutput] = []

    def keep(decided: Sequence[AnyOutput]) -> None:
        outputs.extend(decided)

    runtime.on_outputs = keep
    return Shell(runtime, journal, telemetry, metrics, clock, outputs)
