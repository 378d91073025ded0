"""The admin endpoint: faults switched on and off while the venue runs, for whoever sits at this machine.

    GET    /admin/faults            what is switched on
    POST   /admin/faults            switch one on: the same keys as `[[faults]]` of a scenario file
    DELETE /admin/faults            clear all
    DELETE /admin/faults/{number}   clear one
    GET    /admin/faults/kinds      the catalogue
    GET    /admin/state             clock, connections, markets struck, accounts

Rule 1: loopback only, whatever the server listens on. A page in a browser can not send JSON across origins without
asking first, and nobody answers that question: requests that change something have to be JSON.
Rule 2: an error is `{"error": "key: expected …, found …"}` with status 400.
"""

from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Any

import msgspec
from aiohttp import web

from streaming.core.errors import ConfigError
from streaming.sim.scenario.fault_check import checked_fault
from streaming.sim.scenario.fault_kinds import KINDS
from streaming.sim.scenario.fault_parameters import FaultKind
from streaming.sim.scenario.universe import Universe
from streaming.sim.venue.faults.board import FaultBoard

State = Callable[[], dict[str, Any]]


class Admin:
    """HTTP in front of a board."""

    def __init__(self, board: FaultBoard, universe: Universe, now_ms: Callable[[], int], state: State) -> None:
        self._board = board
        self._universe = universe
        self._now_ms = now_ms
        self._state = state

    def routes(self) -> Sequence[web.RouteDef]:
        """Return what the server adds to its routes."""
        return (
            web.get("/admin/faults", self._list),
            web.post("/admin/faults", self._add),
            web.delete("/admin/faults", self._clear),
            web.get("/admin/faults/kinds", self._kinds),
            web.delete("/admin/faults/{number}", self._clear),
            web.get("/admin/state", self._tell_state),
        )

    async def _list(self, request: web.Request) -> web.Response:
        return _refusal(request) or _json({"faults": [f.told(self._now_ms()) for f in self._board.faults()]})

    async def _kinds(self, request: web.Request) -> web.Response:
        return _refusal(request) or _json({"kinds": [told(kind) for kind in KINDS.values()]})

    async def _tell_state(self, request: web.Request) -> web.Response:
        return _refusal(request) or _json(self._state())

    async def _add(self, request: web.Request) -> web.Response:
        if refusal := _refusal(request):
            return refusal
        if request.content_type != "application/json":
            return _json({"error": "expected Content-Type: application/json"}, status=415)
        try:
            spec = checked_fault(msgspec.json.decode(await request.read()), self._universe)
            fault = self._board.add(spec, self._now_ms())
        except (ConfigError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return _json({"error": str(error)}, status=400)
        return _json(fault.told(self._now_ms()), status=201)

    async def _clear(self, request: web.Request) -> web.Response:
        if refusal := _refusal(request):
            return refusal
        text = request.match_info.get("number")
        if text is None:
            return _json({"cleared_count": self._board.clear()})
        if not (text.isascii() and text.isdigit()) or not self._board.clear(int(text)):
            return _json({"error": f"number: expected one of GET /admin/faults, found {text[:20]!r}"}, status=404)
        return _json({"cleared_count": 1})


def told(kind: FaultKind) -> dict[str, Any]:
    """Return a kind as the catalogue tells it."""
    return {
        "name": kind.name,
        "fault_ids": kind.fault_ids,
        "where": kind.where,
        "mode": kind.mode,
        "help": kind.help,
        "selects": kind.selects,
        "parameters": [
            {"name": p.name, "default": p.default, "expected": p.bounds, "help": p.help} for p in kind.parameters
        ],
    }


def _refusal(request: web.Request) -> web.Response | None:
    remote = request.remote
    if remote is None or not ip_address(remote.partition("%")[0]).is_loopback:
        return _json({"error": "the admin endpoint answers this machine only"}, status=403)
    return None


def _json(value: object, *, status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(value), content_type="application/json")
