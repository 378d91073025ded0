import pytest

from streaming.core.errors import ConfigError
from streaming.shell.info.venues import venue_named


def test_venue_named_sim_is_on_loopback() -> None:
    venue = venue_named("sim", sim_port=8123)

    assert (venue.info_url, venue.ws_url) == ("http://127.0.0.1:8123/info", "ws://127.0.0.1:8123/ws")


@pytest.mark.parametrize("name", ["testnet", "mainnet"])
def test_venue_named_real_venue_is_encrypted(name: str) -> None:
    venue = venue_named(name)

    assert venue.info_url.startswith("https://api.hyperliquid")
    assert venue.ws_url == venue.info_url.replace("https", "wss").replace("/info", "/ws")
    assert ("testnet" in venue.base_url) is (name == "testnet")


@pytest.mark.parametrize("name", ["", "Mainnet", "http://169.254.169.254", "evil.example"])
def test_venue_named_free_form_host_is_impossible(name: str) -> None:
    # F-106
    with pytest.raises(ConfigError):
        venue_named(name)


@pytest.mark.parametrize("port", [0, -1, 65_536])
def test_venue_named_port_out_of_range_is_refused(port: int) -> None:
    with pytest.raises(ConfigError):
        venue_named("sim", sim_port=port)
