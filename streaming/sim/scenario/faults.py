"""A fault as a value: what is wrong, where, when, for how long. `venue.faults` makes it happen."""

from typing import Annotated

import msgspec


class FaultSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One fault, from a scenario file or the admin endpoint."""

    kind: str
    """Name of the fault; `GET /admin/faults/kinds` lists them with their parameters."""
    at_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """Begin, seconds after the venue's start (after the request, from the admin endpoint)."""
    for_s: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """Length; None lasts until it is cleared."""
    count: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """How often it strikes before it is spent; None is without bound."""
    coins: tuple[str, ...] = ()
    """Markets it concerns; empty is all."""
    channels: tuple[str, ...] = ()
    """Websocket channels, info types or action types it concerns; empty is all."""
    users: tuple[str, ...] = ()
    """Addresses it concerns, lower case; empty is all."""
    parameters: dict[str, str | int | float | bool] = {}
    """What the kind needs besides."""
