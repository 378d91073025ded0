"""One venue for a module; every test gets an account of its own on it, and takes its faults back."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from trading_process import ALPHA, LIVELY, Desk, SimVenue, sim_venue


@pytest.fixture(scope="module")
def shared_venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimVenue]:
    with sim_venue(tmp_path_factory.mktemp("venue"), lively=LIVELY) as venue:
        yield venue


@pytest.fixture
def venue(shared_venue: SimVenue) -> Iterator[SimVenue]:
    """The module's venue without faults."""
    yield shared_venue
    shared_venue.clear()


@pytest.fixture
def desk(venue: SimVenue, tmp_path: Path) -> Desk:
    """An account that trades one market."""
    return Desk(venue, tmp_path, (ALPHA,), {})


@pytest.fixture
def make_desk(venue: SimVenue, tmp_path: Path) -> Callable[..., Desk]:
    """Make an account that trades given markets with given settings."""

    def make(*coins: str, **config: dict[str, Any]) -> Desk:
        tables = {name.replace("__", "."): values for name, values in config.items()}
        return Desk(venue, tmp_path, coins or (ALPHA,), tables)

    return make
