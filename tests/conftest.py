"""What every test shares: exact decimals, the shared data folder where it exists, and the golden switch."""

from pathlib import Path

import pytest
from hypothesis import settings

from streaming.core.units import use_exact_decimals

settings.register_profile("hip3", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("hip3")
use_exact_decimals()

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", action="store_true", help="rewrite golden texts; review the diff")


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
