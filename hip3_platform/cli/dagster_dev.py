"""How `dagster dev` is started here: its home, its words, its port."""

import fcntl
import os
import shutil
import socket
import sys
import time
from pathlib import Path

from streaming.core.errors import StoreError

SETTINGS = "dagster.yaml"
ASIDE = "aside-"
LOCK = "in-use.lock"


def dagster_words(root: Path, port: int) -> tuple[str, ...]:
    """Return the command line of a Dagster on loopback that serves the checkout `root`."""
    served = ("--workspace", str(root / "workspace.yaml"), "--host", "127.0.0.1", "--port", str(port))
    return (sys.executable, "-m", "dagster", "dev", *served, "--log-level", "warning")


def is_occupied(port: int) -> bool:
    """Return whether somebody listens at a port of loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def hold_dagster_home(home: Path) -> int | None:
    """Keep others away from a Dagster home, which is made if missing, until the file returned is closed.

    The hold goes on over an exec and not to children. Two Dagsters over one home would each judge every day that
    closes and hand back every rotation.

    Returns:
        Descriptor of the lock file; None if somebody else holds it.

    Raises:
        StoreError: The home can not be written.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        fd = os.open(home / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StoreError(
            f"expected a writable Dagster home, found {home}: {error.strerror}; choose another with --dagster-home"
        ) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    os.set_inheritable(fd, True)
    return fd


def prepare_dagster_home(root: Path, home: Path, warehouse: Path) -> Path | None:
    """Give `home` its settings; with a new warehouse put aside what Dagster remembers, and return where.

    A warehouse is new in which no venue has a manifest. Runs are keyed by the content of a day: one that was deleted
    and written again has equal content, so Dagster would drop its runs as done. Nothing but Dagster's own pages depends
    on that memory (F-102).
    """
    home.mkdir(parents=True, exist_ok=True)
    settings = home / SETTINGS
    if not settings.exists():
        shutil.copyfile(root / "dagster_home" / SETTINGS, settings)
    remembered = [entry for entry in home.iterdir() if _is_memory(entry)]
    if any((warehouse / "manifest").glob("venue=*")) or not remembered:
        return None
    aside = home / f"{ASIDE}{time.time_ns()}"
    aside.mkdir()
    for entry in remembered:
        entry.rename(aside / entry.name)
    return aside


def _is_memory(entry: Path) -> bool:
    # A folder with settings is a home of its own, of another venue (`hip3 platform`).
    return entry.name not in {SETTINGS, LOCK} and not entry.name.startswith(ASIDE) and not (entry / SETTINGS).exists()
