"""`hip3 run` as a child of a bench: a configuration of its own, a warehouse that is thrown away, defaults otherwise.

Rule 1: what is measured is the process that a user starts: journal, gates, follow-ups, metrics and projection are on.
Rule 2: whatever differs from the defaults is in `settings`, and ends up in the result of the bench.
"""

import asyncio
import json
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from streaming.contracts.control import Answer, Endpoint, StatusView
from streaming.shell.control.credential import read_token
from streaming.sim.bench.child import Child, ChildFailed, started
from streaming.sim.bench.process import children_of, cpu_s

READY_S = 60.0
_POLL_S = 0.1
_TIMEOUT_S = 10.0


class Sidecar:
    """A running sidecar."""

    def __init__(self, child: Child, endpoint: Endpoint, root: Path) -> None:
        """Ask the sidecar of `endpoint`, whose warehouse is `root`."""
        self.child = child
        self.root = root
        self._url = endpoint.control_url
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open

    async def status(self) -> StatusView:
        """Return what the sidecar says about itself."""
        return msgspec.json.decode(await asyncio.to_thread(self._get, "/v1/status"), type=StatusView)

    async def metrics(self) -> dict[str, float]:
        """Return every sample of `/metrics`, by name with labels."""
        text = (await asyncio.to_thread(self._get, "/metrics")).decode()
        samples = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

    async def ready(self, market_count: int) -> None:
        """Wait until so many markets are ready for market data.

        Raises:
            ChildFailed: It ended, or it took too long.
        """
        await self._until(lambda: self._has_markets(market_count), f"{market_count} markets to become ready")

    async def ready_to_trade(self) -> None:
        """Wait until its picture of the account is proved.

        Raises:
            ChildFailed: It ended, or it took too long.
        """
        await self._until(self._is_proved, "the account to be proved")

    async def open_for_entries(self) -> None:
        """Wait until nothing closes its entries: one that stood still for long distrusts what it missed for a while.

        Raises:
            ChildFailed: It ended, or it took too long.
        """
        await self._until(self._is_open, "entries to be open")

    async def put_rotation(self, raw: bytes) -> tuple[str, ...]:
        """Push the first rotation of its warehouse; returns why it was refused, empty when it is in force."""
        headers = {"Authorization": f"Bearer {read_token(self.root)}", "Content-Type": "application/json"}
        request = urllib.request.Request(self._url + "/v1/rotation", raw, headers, method="PUT")  # noqa: S310 - loopback
        try:
            await asyncio.to_thread(self._read, request)
        except urllib.error.HTTPError as error:
            with error:
                return msgspec.json.decode(error.read(), type=Answer).reasons
        return ()

    def cpu_s(self) -> tuple[float, float]:
        """Return the seconds of a core used so far: by the process itself, and by its children."""
        pid = self.child.pid
        return cpu_s(pid), sum(map(cpu_s, children_of(pid)))

    async def _has_markets(self, count: int) -> bool:
        return (await self.status()).ready_count >= count

    async def _is_open(self) -> bool:
        return not (await self.status()).entries_closed_by

    async def _is_proved(self) -> bool:
        return (await self.metrics()).get("hip3_trading_ready") == 1

    async def _until(self, holds: Callable[[], Awaitable[bool]], what: str) -> None:
        try:
            async with asyncio.timeout(READY_S):
                while not await holds():  # noqa: ASYNC110 - another process tells nobody
                    await asyncio.sleep(_POLL_S)
        except (TimeoutError, OSError) as error:
            raise self.child.failure(f"expected {what} in {READY_S:g} s") from error

    def _get(self, path: str) -> bytes:
        return self._read(urllib.request.Request(self._url + path))  # noqa: S310 - loopback

    def _read(self, request: urllib.request.Request) -> bytes:
        with self._open(request, timeout=_TIMEOUT_S) as response:
            return bytes(response.read())


@asynccontextmanager
async def running_sidecar(
    folder: Path, name: str, venue_port: int, settings: Mapping[str, Any]
) -> AsyncIterator[Sidecar]:
    """Start `hip3 run` against the venue on `venue_port`; its files lie in `folder`/`name` until the block ends.

    Args:
        folder: Exists; nothing of the sidecar leaves it.
        name: What errors call it.
        venue_port: Port of a bench venue of this process, whose loop must run.
        settings: Further keys of the configuration, nested as in the file.

    Raises:
        ChildFailed: It did not start.
    """
    home = folder / name
    home.mkdir()
    root = home / "warehouse"
    config = {"venue": "sim", "sim_port": venue_port, "control_port": 0, "warehouse": str(root), **settings}
    path = home / "hip3.toml"
    path.write_text(_toml(config), encoding="utf-8")
    words = [sys.executable, "-m", "streaming.cli", "run", "--config", str(path), "--json"]
    with started(name, words, cwd=home) as child:
        line = await asyncio.to_thread(child.hear)  # it asks our venue before it speaks
        try:
            endpoint = msgspec.json.decode(line, type=Endpoint)
        except msgspec.MsgspecError as error:
            raise ChildFailed(f"{name}: expected the endpoint of a sidecar, found {line[:100]!r}") from error
        yield Sidecar(child, endpoint, root)
        await asyncio.to_thread(child.end)  # its last pass asks nobody, but our venue still answers


def _toml(config: Mapping[str, Any], prefix: str = "") -> str:
    """Return nested settings as TOML: texts, numbers, flags and lists are spelled as in JSON."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in config.items() if not isinstance(value, Mapping)]
    tables = [
        f"[{prefix}{key}]\n{_toml(value, f'{prefix}{key}.')}"
        for key, value in config.items()
        if isinstance(value, Mapping)
    ]
    return "\n".join((*lines, *tables)) + "\n"
