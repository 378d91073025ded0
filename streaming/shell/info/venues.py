"""Which hosts exist: a venue's name selects its addresses, and nothing else does (F-106).

Source: hyperliquid.gitbook.io, "API", mainnet and testnet addresses.
"""

from dataclasses import dataclass

from streaming.core.errors import ConfigError

SIM_PORT = 8010
"""Default port of the simulated venue."""

_BASES = {
    "testnet": "https://api.hyperliquid-testnet.xyz",
    "mainnet": "https://api.hyperliquid.xyz",
}


@dataclass(frozen=True, slots=True)
class Venue:
    """A venue and where it answers."""

    name: str
    base_url: str
    """What `InfoClient` takes."""

    @property
    def info_url(self) -> str:
        """Address of the info endpoint."""
        return self.base_url + "/info"

    @property
    def ws_url(self) -> str:
        """Address of the websocket."""
        return "ws" + self.base_url.removeprefix("http") + "/ws"


def venue_named(name: str, *, sim_port: int = SIM_PORT) -> Venue:
    """Return the venue `sim`, `testnet` or `mainnet`; `sim_port` matters for `sim` only.

    Raises:
        ConfigError: For any other name, and for a port outside 1-65535.
    """
    if name == "sim":
        if not 1 <= sim_port <= 65_535:
            raise ConfigError(f"sim_port: expected 1-65535, found {sim_port}")
        return Venue(name, f"http://127.0.0.1:{sim_port}")
    if name not in _BASES:
        raise ConfigError(f"venue: expected sim, testnet or mainnet, found {name[:40]!r}")
    return Venue(name, _BASES[name])
