"""The venue as a process, and other people's clients in environments of their own (`make peers`)."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from children import running
from interop_peers import Peer

ROOT = Path(__file__).resolve().parents[2]
PEERS = Path(__file__).parent / "peers"


def _venue_url() -> Iterator[str]:
    with running("venue", "--port", "0", "--seed", "11") as child:
        yield f"http://127.0.0.1:{child.said['port']}"


# One venue a session of a client: two in one minute would exceed the 1,200 weights of an address, as on the real one.
base_url = pytest.fixture(_venue_url, scope="module")
fresh_url = pytest.fixture(_venue_url)


@pytest.fixture(scope="session")
def peer() -> Peer:
    def run(name: str, script: str, *words: str, timeout_s: float = 120) -> dict[str, Any]:
        python = ROOT / ".cache" / "peers" / name / "bin" / "python"
        assert python.exists(), f"{python} is missing: run `make peers`"
        done = subprocess.run(
            [str(python), str(PEERS / script), *words], capture_output=True, text=True, check=False, timeout=timeout_s
        )
        assert done.returncode == 0, f"{script}: {done.stdout[-1_000:]}\n{done.stderr[-4_000:]}"
        said = json.loads(done.stdout.splitlines()[-1])
        assert isinstance(said, dict)
        return said

    return run
