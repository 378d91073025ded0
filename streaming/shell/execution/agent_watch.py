"""Whether our agent may still sign: asked before the first order, and every hour after that.

Rule 1: a start is refused for every reason at once, as `hip3 preflight` would (I-19).
Rule 2: an agent that ends soon is said once a day; one that may not sign any more sets the stop latch before the venue
refuses an exit (F-43).
"""

import asyncio
from collections.abc import Callable

from streaming.core.errors import PreflightRefused
from streaming.core.events import AnyEvent, StopRequested
from streaming.shell.clock import Clock
from streaming.shell.config.account_checks import refusals_of, signing_findings
from streaming.shell.config.doctor import Finding
from streaming.shell.config.schema import Config
from streaming.shell.info.rest import InfoClient
from streaming.shell.telemetry.logs import get_logger

WATCH_S = 3_600
_SAY_AGAIN_COUNT = 24


class AgentWatch:
    """Asks about one agent."""

    def __init__(
        self, config: Config, client: InfoClient, agent: str, *, apply: Callable[[AnyEvent], None], clock: Clock
    ) -> None:
        """Ask nothing before `run`."""
        self._config = config
        self._client = client
        self._agent = agent
        self._apply = apply
        self._clock = clock
        self._log = get_logger(component="agent_watch")
        self._quiet_count = 0

    async def run(self) -> None:
        """Ask every hour until cancelled."""
        while True:
            await asyncio.sleep(WATCH_S)
            self.judge(await signing_findings(self._config, self._client, self._agent))

    def judge(self, found: list[Finding]) -> None:
        """Warn, or stop."""
        refused = [item for item in found if item.level == "fail" and item.name == "agent" and item.is_answered]
        if refused:
            self._apply(
                StopRequested(
                    recv_mono_ns=self._clock.mono_ns(),
                    recv_ts_ns=self._clock.ts_ns(),
                    command_id=0,
                    reason=f"agent_not_approved: {refused[0].detail}"[:200],
                    operator="sidecar",
                )
            )
        warned = [finding.detail for finding in found if finding.level == "warn"]
        if warned and self._quiet_count % _SAY_AGAIN_COUNT == 0:
            self._log.warning("agent_noted", notes=warned)
        self._quiet_count = self._quiet_count + 1 if warned else 0


async def refuse_unless_signing(config: Config, client: InfoClient, agent: str) -> None:
    """Ask once, before a start.

    Raises:
        PreflightRefused: With every reason against signing.
    """
    found = await signing_findings(config, client, agent)
    if refusals := refusals_of(found):
        raise PreflightRefused(refusals)
    for finding in found:
        if finding.level == "warn":
            get_logger(component="agent_watch").warning("preflight_noted", note=f"{finding.name}: {finding.detail}")
