"""Checks faults against the catalogue: kind, selectors, parameters; and puts one together from JSON."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from streaming.core.errors import ConfigError
from streaming.sim.scenario.fault_kinds import KINDS
from streaming.sim.scenario.fault_parameters import FaultKind
from streaming.sim.scenario.faults import FaultSpec
from streaming.sim.scenario.universe import FEE_SCALE_MAX_GROWTH, Market, Universe

_is_address = re.compile(r"0x[0-9a-f]{40}").fullmatch
_SELECTORS = ("coins", "channels", "users")


def fault_problems(spec: FaultSpec, universe: Universe) -> list[str]:
    """Return what is wrong with a fault, each `key: expected …, found …`."""
    kind = KINDS.get(spec.kind)
    if kind is None:
        return [f"kind: expected one of {', '.join(sorted(KINDS))}; found {spec.kind[:40]!r}"]
    return [*_selector_problems(spec, kind, universe), *_parameter_problems(spec, kind, universe)]


def checked_fault(tree: object, universe: Universe) -> FaultSpec:
    """Return the fault that decoded JSON describes.

    Raises:
        ConfigError: Naming every key that is wrong.
    """
    try:
        spec = msgspec.convert(tree, FaultSpec)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at ")
        key = place.strip("`").removeprefix("$").removeprefix(".")
        raise ConfigError(f"{key or 'fault'}: {what[:1].lower()}{what[1:]}") from error
    if problems := fault_problems(spec, universe):
        raise ConfigError("; ".join(problems))
    return spec


def _selector_problems(spec: FaultSpec, kind: FaultKind, universe: Universe) -> Iterator[str]:
    for name in _SELECTORS:
        if getattr(spec, name) and name not in kind.selects:
            allowed = ", ".join(kind.selects) or "nothing"
            yield f"{name}: kind {kind.name!r} is narrowed by {allowed}; leave it out"
    if spec.count is not None and kind.mode == "state":
        yield f"count: kind {kind.name!r} is a state; say how long with for_s"
    if spec.for_s is not None and kind.mode == "event":
        yield f"for_s: kind {kind.name!r} happens at once; say how often with count"
    for index, coin in enumerate(spec.coins):
        if coin not in universe.by_coin:
            yield f"coins[{index}]: expected a market of the scenario, found {coin[:40]!r}"
    for index, user in enumerate(spec.users):
        if not _is_address(user):
            yield f"users[{index}]: expected 0x and 40 lower-case hex digits, found {user[:50]!r}"


def _parameter_problems(spec: FaultSpec, kind: FaultKind, universe: Universe) -> Iterator[str]:
    known = {parameter.name: parameter for parameter in kind.parameters}
    for name, value in spec.parameters.items():
        if name not in known:
            allowed = ", ".join(known) or "none"
            yield f"parameters.{name[:40]}: kind {kind.name!r} has {allowed}"
        elif (problem := known[name].problem(value)) is not None:
            yield f"parameters.{name}: {problem}"
        elif kind.name == "transfer" and name == "dex" and value not in (dexes := _funded_dexes(universe)):
            yield f"parameters.dex: expected a dex among {dexes}, found {value!r}"
    if kind.name == "parameter" and not isinstance(
        changed := changed_market(None, kind.values(spec.parameters)), Market
    ):
        yield f"parameters.value: {changed}"


def _funded_dexes(universe: Universe) -> list[str]:
    # What comes from outside is the validator's collateral; another one's can not be moved there.
    return [dex.name for dex in universe.dexes if dex.collateral_token == universe.dexes[0].collateral_token]


def changed_market(market: Market | None, values: Mapping[str, Any]) -> Market | str:
    """Return a market with one fact changed as kind `parameter` says, or what is wrong with the value."""
    name, text = str(values["name"]), str(values["value"])
    tree = msgspec.to_builtins(market or _ANY_MARKET)
    found = f" for {name}, found {text[:40]!r}"
    try:
        changed = msgspec.convert(tree | {name: _typed(name, text)}, Market)
    except (msgspec.ValidationError, ValueError) as error:
        return str(error).partition(" - at ")[0] + found
    if not (changed.fee_scale.is_finite() and 0 <= changed.fee_scale <= FEE_SCALE_MAX_GROWTH):
        return f"expected 0 to {FEE_SCALE_MAX_GROWTH}{found}"
    return changed if math.isfinite(changed.oi_cap_usd) else f"expected a finite number{found}"


def _typed(name: str, text: str) -> Any:  # noqa: ANN401 - whatever the field takes
    if name in {"margin_mode", "fee_scale"}:
        return text
    if name == "is_growth_mode":
        if text not in {"true", "false"}:
            raise ValueError("expected true or false")
        return text == "true"
    return float(text) if name == "oi_cap_usd" else int(text)


_ANY_MARKET = Market(
    coin="ANY", sz_decimals=2, leverage_max=10, px=100.0, spread_bps=1.0, touch_usd=1e3, depth_usd=1e4, vol_bps=1.0,
    oi_usd=1e6, volume_usd=1e6,
)  # fmt: skip
