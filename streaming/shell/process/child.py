"""The projecting child: a low-priority process that turns closed journal segments into tables.

Rule 1: it is a child of ours (it sees our death), and never slows the loop: nothing waits for it but the last pass.
Rule 2: if it dies it is started again, with a growing pause; the backlog shows in metrics.
"""

import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from streaming.shell.telemetry.logs import get_logger
from streaming.shell.telemetry.metrics import Metrics

RESTART_S_MIN = 1.0
RESTART_S_MAX = 60.0


class Child:
    """Runs one command for as long as we run."""

    def __init__(self, command: Sequence[str], metrics: Metrics, *, last_pass: Sequence[str] = ()) -> None:
        """Run `command` (arguments of this Python) once `run` is awaited.

        Args:
            command: Goes on until SIGTERM, then finishes its work.
            metrics: Counts restarts.
            last_pass: Finishes the work when the child died instead of finishing it.
        """
        self._command = command
        self._last_pass = last_pass
        self._metrics = metrics
        self._log = get_logger(component="projection")
        self._starting: asyncio.Task[asyncio.subprocess.Process] | None = None

    async def run(self) -> None:
        """Keep the child alive until cancelled."""
        pause_s = RESTART_S_MIN
        loop = asyncio.get_running_loop()
        while True:
            started_s = loop.time()
            self._starting = asyncio.create_task(_start(self._command))
            process = await asyncio.shield(self._starting)  # a cancelled start would leave an unknown process behind
            code = await process.wait()
            self._metrics.projection_restarts.inc()
            self._log.error("projection_died", exit_code=code, restart_s=pause_s)
            if loop.time() - started_s > RESTART_S_MAX:
                pause_s = RESTART_S_MIN
            await asyncio.sleep(pause_s)
            pause_s = min(RESTART_S_MAX, 2 * pause_s)

    async def stop(self, timeout_s: float) -> bool:
        """Let the child finish, within a time; tells whether everything is done."""
        process = None
        try:
            async with asyncio.timeout(timeout_s):
                if self._starting is not None:
                    process = await self._starting
                    if process.returncode is None:
                        process.send_signal(signal.SIGTERM)
                    if await process.wait() == 0:
                        return True
                # It had died, or the signal came before it could listen for one.
                process = await _start(self._last_pass)
                return await process.wait() == 0
        except TimeoutError:
            action = "`hip3 project`, or the next start, continues where it ended"
            self._log.warning("projection_cut_short", timeout_s=timeout_s, action=action)
            return False
        finally:
            if process is not None and process.returncode is None:
                process.kill()
                await process.wait()


async def _start(command: Sequence[str]) -> asyncio.subprocess.Process:
    # A session of its own: Ctrl-C in the terminal is ours to pass on, after the last segment is closed.
    return await asyncio.create_subprocess_exec(
        sys.executable, *command, stdin=asyncio.subprocess.DEVNULL, start_new_session=True
    )


def watch_backlog(metrics: Metrics, folder: Path, *, now_ts_s: float, dropped_line_count: int) -> None:
    """Show how far the projection is behind, and how many log lines were lost."""
    count, age_s = backlog(folder, now_ts_s)
    metrics.projection_backlog.set(count)
    metrics.projection_lag_s.set(age_s)
    metrics.log_dropped.set(dropped_line_count)


def backlog(folder: Path, now_ts_s: float) -> tuple[int, float]:
    """Return how many closed segments wait in `folder`, and the age of the oldest in seconds."""
    ages = []
    for path in folder.glob("*.jnl"):
        try:
            ages.append(now_ts_s - path.stat().st_mtime)
        except FileNotFoundError:
            continue  # projected and compressed meanwhile
    return len(ages), max(0.0, *ages) if ages else 0.0
