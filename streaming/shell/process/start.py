"""What happens around a start: process hardening, and the one line that says where the sidecar listens."""

import os
import resource
import sys
from collections.abc import Callable

import msgspec

from streaming.contracts.control import Endpoint
from streaming.core.errors import PreflightRefused
from streaming.core.registry import RegistryPlan
from streaming.core.units import use_exact_decimals

_UMASK = 0o077


def harden() -> None:
    """Refuse `python -O`, forbid core dumps, create files for us alone, install the Decimal context.

    Raises:
        PreflightRefused: Under `python -O`, which would change what third-party checks do (F-73).
    """
    if sys.flags.optimize:
        raise PreflightRefused(("expected Python without -O, found it; start without -O and PYTHONOPTIMIZE",))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(_UMASK)
    use_exact_decimals()


def announcer(*, is_json: bool) -> Callable[[Endpoint, RegistryPlan], None]:
    """Return what prints the one line of a start to standard output."""

    def announce(endpoint: Endpoint, plan: RegistryPlan) -> None:
        if is_json:
            line = msgspec.json.encode(endpoint).decode()
        else:
            line = (
                f"hip3: watching {len(plan.specs)} markets of {endpoint.venue}; page and API at "
                f"{endpoint.control_url}/ (pid {endpoint.pid}, session {endpoint.session_id})"
            )
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    return announce
