"""The projecting child: a low-priority process that turns closed journal segments into tables.

Rule 1: it is a child of ours (it sees our death), and never slows the loop: nothing waits for it but the last pass.
Rule 2: if it dies it is started again, with a growing pause; the backlog shows in metrics.
"""

import asyncio
import signal
import sys
from pathlib import Path

from streaming.shell.logs import get_logger
from streaming.shell.metrics import Metrics

RESTART_S_MIN = 1.0
RESTART_S_MAX = 60.0


class Child:
    """Runs one command for as long as we run."""

    def __init__(self, command: list[str], metrics: Metrics) -> None:
        """Run `command` (arguments of this Python) once `run` is awaited."""
        self._command = [sys.executable, *command]
        self._metrics = metrics
        self._log = get_logger(component="projection")
        self._process: asyncio.subprocess.Process | None = None

    async def run(self) -> None:
        """Keep the child alive until cancelled."""
        pause_s = RESTART_S_MIN
        while True:
            started_s = asyncio.get_running_loop().time()
            self._process = await self._start()
            code = await self._process.wait()
            self._metrics.projection_restarts.inc()
            self._log.error("projection_died", exit_code=code, restart_s=pause_s)
            if asyncio.get_running_loop().time() - started_s > RESTART_S_MAX:
                pause_s = RESTART_S_MIN
            await asyncio.sleep(pause_s)
            pause_s = min(RESTART_S_MAX, 2 * pause_s)

    async def stop(self, timeout_s: float) -> bool:
        """Ask the child for its last pass and wait; kill it after `timeout_s`. Tells whether it ended by itself."""
        process = self._process
        if process is None or process.returncode is not None:
            return True
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(timeout_s):
                return await process.wait() == 0
        except TimeoutError:
            process.kill()
            await process.wait()
            self._log.warning(
                "projection_killed", timeout_s=timeout_s, action="`hip3 project` continues where it ended"
            )
            return False

    async def _start(self) -> asyncio.subprocess.Process:
        # A session of its own: Ctrl-C in the terminal is ours to pass on, after the last segment is closed.
        return await asyncio.create_subprocess_exec(
            *self._command, stdin=asyncio.subprocess.DEVNULL, start_new_session=True
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
