"""Listening sockets of this machine, as the kernel tells them: to bind ours, and to name who holds a port.

Rule 1: we bind loopback only (I-36).
"""

import errno
import ipaddress
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec

from streaming.core.errors import Hip3Error

LOOPBACK = "127.0.0.1"
_LISTEN = "0A"


class Listening(msgspec.Struct, frozen=True):
    """One listening TCP socket."""

    address: str
    port: int
    inode: int

    @property
    def is_loopback(self) -> bool:
        """Tell whether only this machine can reach it."""
        return ipaddress.ip_address(self.address).is_loopback


class PortOccupied(Hip3Error):
    """The control port is in use (exit 6)."""

    def __init__(self, port: int, key: str) -> None:
        """Name the holder if the kernel lets us see it."""
        pid = pid_listening_on(port)
        whom = f"pid {pid}" if pid else "another process"
        super().__init__(
            f"expected port {port} on {LOOPBACK} to be free, found {whom} listening on it; stop that process or set "
            f"another {key}"
        )
        self.port = port


def bind_loopback(port: int, *, key: str) -> socket.socket:
    """Return a socket that listens on loopback; port 0 takes a free one.

    Raises:
        PortOccupied: Naming the port, its holder and the setting `key`.
    """
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((LOOPBACK, port))
        bound.listen(128)
    except OSError as error:
        bound.close()
        if error.errno in {errno.EADDRINUSE, errno.EACCES}:
            raise PortOccupied(port, key) from error
        raise
    bound.setblocking(False)
    return bound


def listening() -> Iterator[Listening]:
    """Yield every listening TCP socket of this network namespace."""
    for name in ("tcp", "tcp6"):
        try:
            lines = Path("/proc/net", name).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTEN:
                host, _, port = fields[1].partition(":")
                yield Listening(address=_address(host), port=int(port, 16), inode=int(fields[9]))


def pid_listening_on(port: int) -> int | None:
    """Return the process that listens on `port`, None if it can not be seen."""
    inodes = {f"socket:[{entry.inode}]" for entry in listening() if entry.port == port}
    for folder in Path("/proc").glob("[0-9]*/fd"):
        if inodes & set(_targets(folder)):
            return int(folder.parent.name)
    return None


def ports_of(pid: int) -> list[Listening]:
    """Return the listening sockets of one process."""
    held = set(_targets(Path("/proc", str(pid), "fd")))
    return [entry for entry in listening() if f"socket:[{entry.inode}]" in held]


def _targets(folder: Path) -> Iterator[str]:
    try:
        for link in folder.iterdir():
            yield str(link.readlink())
    except OSError:
        return  # not ours, or gone


def _address(text: str) -> str:
    """Decode /proc/net/tcp's address: groups of 4 bytes in host byte order (little endian here)."""
    raw = bytes.fromhex(text)
    groups = b"".join(raw[i : i + 4][::-1] for i in range(0, len(raw), 4))
    return str(ipaddress.ip_address(groups))
