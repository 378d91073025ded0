"""What every test shares: exact decimals, the shared data folder where it exists, and the golden switch."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

from streaming.core.units import use_exact_decimals

settings.register_profile("hip3", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("hip3")
use_exact_decimals()

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", action="store_true", help="rewrite golden texts; review the diff")


@pytest.fixture(autouse=True)
def _default_logs() -> Iterator[None]:
    """A command that a test runs in this process configures logging; the next test must not inherit that."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def is_golden_run(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--golden"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data beside the checkout; never committed."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real data is absent: {folder}")
    return folder
