"""Faults of info bodies: listings that name no or another market, positions that are not the user's."""

from collections.abc import Callable
from typing import Any

import msgspec

from streaming.sim.scenario.fault_kinds import HOSTILE_NAMES
from streaming.sim.venue.faults.board import Fault, FaultBoard
from streaming.sim.venue.hooks import HttpAnswer

Json = Any
Renamed = dict[str, str | None]
"""Market → its name in listings, None leaves it out."""
_COIN_PAIRS = ("coinToOiCap", "assetToStreamingOiCap", "assetToFundingMultiplier")
INFO_KINDS = ("vanish", "hostile_name", "positions")
_LISTINGS = frozenset({"meta", "metaAndAssetCtxs", "allPerpMetas", "perpDexs", "perpDexLimits"})


class InfoFaults:
    """Breaks answers of the info endpoint."""

    def __init__(self, board: FaultBoard) -> None:
        self._board = board

    def answer(self, request: Json, answer: Callable[[], HttpAnswer], now_ms: int) -> HttpAnswer:
        """Return the answer to an info request as the faults leave it."""
        if not self._board.has(INFO_KINDS) or not isinstance(request, dict):
            return answer()
        kind, user = request.get("type"), str(request.get("user")).lower()
        if kind in _LISTINGS and (renamed := self._renamed(now_ms)):
            return _changed(answer(), lambda body: _relisted(str(kind), body, renamed))
        if kind == "clearinghouseState" and (
            fault := self._board.strike("positions", now_ms, users=(user,), channels=(kind,))
        ):
            return self._positions(fault, request, answer)
        return answer()

    def _renamed(self, now_ms: int) -> Renamed:
        renamed: Renamed = {}
        for fault in self._board.faults():
            if fault.spec.kind in {"vanish", "hostile_name"} and fault.state(now_ms) == "active":
                fault.strike()
                name = HOSTILE_NAMES[str(fault.values["name"])] if fault.spec.kind == "hostile_name" else None
                renamed |= dict.fromkeys(fault.spec.coins, name)
        return renamed

    @staticmethod
    def _positions(fault: Fault, request: dict[str, Json], answer: Callable[[], HttpAnswer]) -> HttpAnswer:
        match fault.values["shape"]:
            case "stale":
                first: HttpAnswer = fault.once((str(request.get("user")).lower(), request.get("dex")), answer())
                return first
            case "other_dex":
                return _changed(answer(), _of_other_dex)
            case _:
                return _changed(answer(), lambda body: body | {"assetPositions": []})


def _relisted(kind: str, body: Json, renamed: Renamed) -> Json:
    """Return a listing in which markets have another name, or are left out; those behind move up."""
    match kind:
        case "metaAndAssetCtxs":
            meta, ctxs = body
            kept = [_is_kept(entry["name"], renamed) for entry in meta["universe"]]
            return [_meta(meta, renamed), [ctx for ctx, is_kept in zip(ctxs, kept, strict=True) if is_kept]]
        case "allPerpMetas":
            return [_meta(meta, renamed) for meta in body]
        case "perpDexs":
            return [entry and _pairs(entry, renamed) for entry in body]
        case "perpDexLimits":
            return body and _pairs(body, renamed)
        case _:
            return _meta(body, renamed)


def _meta(meta: Json, renamed: Renamed) -> Json:
    universe = [
        entry | {"name": renamed.get(entry["name"], entry["name"])}
        for entry in meta["universe"]
        if _is_kept(entry["name"], renamed)
    ]
    return meta | {"universe": universe}


def _pairs(body: Json, renamed: Renamed) -> Json:
    """Return a body whose lists of (coin, value) name the same markets as the others."""
    changed = {
        key: [[renamed.get(coin, coin), value] for coin, value in body[key] if _is_kept(coin, renamed)]
        for key in _COIN_PAIRS
        if key in body
    }
    return body | changed


def _is_kept(coin: str, renamed: Renamed) -> bool:
    return coin not in renamed or renamed[coin] is not None


def _of_other_dex(body: Json) -> Json:
    positions = [
        item | {"position": item["position"] | {"coin": "othr:" + item["position"]["coin"].rpartition(":")[2]}}
        for item in body["assetPositions"]
    ]
    return body | {"assetPositions": positions}


def _changed(answer: HttpAnswer, change: Callable[[Json], Json]) -> HttpAnswer:
    if answer.status != 200:
        return answer
    return HttpAnswer(200, msgspec.json.encode(change(msgspec.json.decode(answer.body))))
