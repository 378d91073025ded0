"""Type of the fixture `peer` (tests/interop/conftest.py): runs a client's script, returns what it printed."""

from collections.abc import Callable
from typing import Any

Peer = Callable[..., dict[str, Any]]
