"""Checks of this machine and installation; each says what was found and, where it is not fine, what to do.

Rule 1: a check never changes anything but a probe file it removes again.
Rule 2: `fail` is what would keep the sidecar from working or make it unsafe, `warn` what an operator should know.
"""

import decimal
import importlib.metadata
import os
import resource
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from streaming.contracts.control import STATUS_FILE, Endpoint
from streaming.contracts.paths import control_folder
from streaming.core.errors import ConfigError
from streaming.core.units import NS_PER_MS, use_exact_decimals
from streaming.shell.config.schema import Config
from streaming.shell.control.credential import read_token, token_path
from streaming.shell.control.status_text import table
from streaming.shell.keys.agent_key import KeyKind, key_facts
from streaming.shell.process.sockets import LOOPBACK, listening, pid_listening_on, ports_of

FREE_BYTES_MIN = 512 * 1024 * 1024
FREE_BYTES_WARN = 5 * 1024 * 1024 * 1024
FSYNC_MS_WARN = 50
PROBE_COUNT = 5
BACKLOG_WARN = 10
OPEN_FILE_COUNT_MIN = 256
OPEN_FILE_COUNT_WARN = 1_024
_PACKAGES = ("hip3", "aiohttp", "msgspec", "picows", "pyarrow", "uvloop", "websockets", "zstandard")


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Result of one check."""

    name: str
    level: Literal["ok", "warn", "fail"]
    detail: str
    is_answered: bool = True
    """False when the venue did not answer: it may not be started on, and proves nothing."""


def findings(config: Config) -> list[Finding]:
    """Run every check."""
    checks: tuple[Callable[[Config], Iterator[Finding]], ...] = (
        _interpreter,
        _decimals,
        _clocks,
        _versions,
        _open_files,
        _warehouse,
        _token,
        _key,
        _control,
        _sockets,
        _sim,
        _backlog,
        _hours,
    )
    return [finding for check in checks for finding in check(config)]


def findings_text(found: list[Finding]) -> str:
    """Return the findings as text, the verdict last."""
    fails = sum(finding.level == "fail" for finding in found)
    warns = sum(finding.level == "warn" for finding in found)
    rows = [(finding.level.upper(), finding.name, finding.detail) for finding in found]
    return table(("", "check", "found"), rows) + f"{fails} failed, {warns} warnings\n"


def fine(name: str, detail: str) -> Finding:
    """Return a finding that needs no attention."""
    return Finding(name=name, level="ok", detail=detail)


def warned(name: str, detail: str) -> Finding:
    """Return a finding that an operator should know."""
    return Finding(name=name, level="warn", detail=detail)


def failed(name: str, detail: str) -> Finding:
    """Return a finding that keeps the sidecar from working or makes it unsafe."""
    return Finding(name=name, level="fail", detail=detail)


def _interpreter(_config: Config) -> Iterator[Finding]:
    if sys.flags.optimize:
        yield failed("python -O", "expected no -O; start without it and without PYTHONOPTIMIZE")
    else:
        yield fine("python -O", "off")


def _decimals(_config: Config) -> Iterator[Finding]:
    use_exact_decimals()
    context = decimal.getcontext()
    if context.prec == 28 and context.traps[decimal.FloatOperation] and decimal.__libmpdec_version__:
        yield fine("decimal", f"precision 28, floats trapped, libmpdec {decimal.__libmpdec_version__}")
    else:
        yield failed("decimal", f"expected precision 28 and trapped floats, found {context}")


def _clocks(_config: Config) -> Iterator[Finding]:
    boot_ns, mono_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME), time.monotonic_ns()
    if boot_ns < mono_ns - NS_PER_MS:
        yield failed("clock", f"expected CLOCK_BOOTTIME not behind CLOCK_MONOTONIC, found {boot_ns} and {mono_ns}")
    else:
        suspended_s = max(0, boot_ns - mono_ns) // 10**9  # read one after the other: a hair below 0 without a suspend
        yield fine("clock", f"up {boot_ns // 10**9} s, {suspended_s} s of it suspended")
    year = time.gmtime(time.time_ns() // 10**9).tm_year
    if year < 2025:
        yield failed("wall clock", f"expected a set clock, found the year {year}; start time synchronisation")
    else:
        yield fine("wall clock", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(time.time_ns() // 10**9)))


def _versions(_config: Config) -> Iterator[Finding]:
    for package in _PACKAGES:
        try:
            yield fine(package, importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            yield failed(package, "expected it installed, found nothing; install hip3[sidecar]")
    try:
        found = importlib.metadata.version("mosaicml-streaming")
        yield failed("streaming", f"mosaicml-streaming {found} also owns the package name `streaming`; uninstall it")
    except importlib.metadata.PackageNotFoundError:
        yield fine("streaming", "no other distribution owns the package name")


def _open_files(_config: Config) -> Iterator[Finding]:
    """Sockets, journal segments and tables each hold one; too few of them end a session at a rotation."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    shown = "unlimited" if soft == resource.RLIM_INFINITY else str(soft)
    if soft != resource.RLIM_INFINITY and soft < OPEN_FILE_COUNT_MIN:
        yield failed("open files", f"expected at least {OPEN_FILE_COUNT_MIN}, found {shown}; `ulimit -n {hard}`")
    elif soft != resource.RLIM_INFINITY and soft < OPEN_FILE_COUNT_WARN:
        yield warned("open files", f"{shown}; {OPEN_FILE_COUNT_WARN} or more leave room: `ulimit -n {hard}`")
    else:
        yield fine("open files", shown)


def _warehouse(config: Config) -> Iterator[Finding]:
    root = config.root
    parent = next(folder for folder in (root, *root.parents) if folder.is_dir())
    free_bytes = shutil.disk_usage(parent).free
    detail = f"{free_bytes / 1e9:.1f} GB free at {parent}"
    if free_bytes < FREE_BYTES_MIN:
        yield failed("disk", f"expected at least {FREE_BYTES_MIN / 1e9:.1f} GB, found {detail}; free some")
    elif free_bytes < FREE_BYTES_WARN:
        yield warned("disk", f"{detail}; the journal needs about 1 GB a day per 40 markets")
    else:
        yield fine("disk", detail)
    if parent != root:
        yield warned("warehouse", f"{root} does not exist yet; `hip3 run` makes it")
    yield _write_probe(parent)


def _write_probe(folder: Path) -> Finding:
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".hip3-probe-") as file:
            spent_ms = [_write_and_sync_ms(file.fileno()) for _ in range(PROBE_COUNT)]
    except OSError as error:
        return failed("write", f"expected {folder} to be writable, found {error.strerror}; check its owner and mount")
    middle_ms, worst_ms = sorted(spent_ms)[PROBE_COUNT // 2], max(spent_ms)
    detail = f"fdatasync {middle_ms:.1f} ms typical, {worst_ms:.1f} ms worst of {PROBE_COUNT}"
    if worst_ms > FSYNC_MS_WARN:
        return warned("write", f"{detail}; a sync lag above 1 s closes entries")
    return fine("write", detail)


def _write_and_sync_ms(fd: int) -> float:
    began_ns = time.monotonic_ns()
    os.write(fd, bytes(4096))
    os.fdatasync(fd)
    return (time.monotonic_ns() - began_ns) / NS_PER_MS


def _token(config: Config) -> Iterator[Finding]:
    path = token_path(config.root)
    if not path.exists():
        yield warned("token", f"{path} does not exist yet; `hip3 run` makes it")
        return
    try:
        read_token(config.root)
    except ConfigError as error:
        yield failed("token", str(error))
    else:
        yield fine("token", f"{path}, mode 0600")


def _hours(config: Config) -> Iterator[Finding]:
    """Evidence counts the hours in which a sidecar enters by default; in others it has judged nothing."""
    if config.limits.losses.is_closed_session_traded:
        yield warned(
            "hours",
            "entries go on while an underlying's own market is closed (limits.losses.is_closed_session_traded); no "
            "evidence counts those hours, so nothing that is traded in them was ever approved",
        )
    else:
        yield fine("hours", "no entry while an underlying's own market is closed: the hours that evidence counts")


def agent_key(config: Config) -> tuple[str | None, list[Finding]]:
    """Return the address of the key that signs and what is to be said about its file; no password is needed.

    The address is None without a key file, and with one that can not be used.
    """
    if not config.agent_key_file:
        return None, []
    try:
        facts = key_facts(Path(config.agent_key_file).expanduser())
    except ConfigError as error:
        return None, [failed("agent key", str(error))]
    if facts.is_retired:
        detail = f"expected a key in use, found {facts.address}, which was retired; set agent_key_file to its successor"
        return None, [failed("agent key", detail)]
    age_days = max(0, time.time_ns() // NS_PER_MS - facts.made_ts_ms) // 86_400_000
    detail = f"{facts.kind} of {facts.address}, made {age_days} days ago"
    if facts.kind is KeyKind.KEYSTORE and not config.agent_key_password_file:
        detail += "; its password is asked for at the terminal: a service needs agent_key_password_file"
        return facts.address, [warned("agent key", detail)]
    return facts.address, [fine("agent key", detail)]


def _key(config: Config) -> Iterator[Finding]:
    yield from agent_key(config)[1]


def _control(config: Config) -> Iterator[Finding]:
    """Which sidecar runs, or else who holds the control port."""
    endpoint = _running(config)
    if endpoint is None:
        port = config.control_port
        holder = pid_listening_on(port) if port else None
        if port and not _is_free(port):
            yield failed(
                "control port", f"expected {port} to be free, found pid {holder or 'unknown'}; set control_port"
            )
        else:
            yield fine("control port", f"{port or 'any'} on {LOOPBACK} is free")
        return
    yield fine("sidecar", f"pid {endpoint.pid} at {endpoint.control_url}")


def _sockets(config: Config) -> Iterator[Finding]:
    """Whether our ports, or any of a running sidecar, can be reached from other hosts (F-109)."""
    endpoint = _running(config)
    ours = ports_of(endpoint.pid) if endpoint else []
    ours += [entry for entry in listening() if entry.port in {config.control_port, config.sim_port}]
    outside = sorted({f"{entry.address}:{entry.port}" for entry in ours if not entry.is_loopback})
    if outside:
        detail = f"expected loopback only, found {', '.join(outside)}; bind 127.0.0.1 and come in over ssh"
        yield failed("listening sockets", detail)
    else:
        yield fine("listening sockets", "loopback only")


def _sim(config: Config) -> Iterator[Finding]:
    if config.venue != "sim":
        return
    if pid_listening_on(config.sim_port) is None and _is_free(config.sim_port):
        yield warned("simulated venue", f"nothing listens on port {config.sim_port}; start `hip3 venue`")
    else:
        yield fine("simulated venue", f"port {config.sim_port}")


def _backlog(config: Config) -> Iterator[Finding]:
    waiting = list((config.root / "journal").glob("venue=*/*/*.jnl"))
    if len(waiting) > BACKLOG_WARN:
        yield warned("projection", f"{len(waiting)} closed segments are not projected; run `hip3 project`")
    else:
        yield fine("projection", f"{len(waiting)} closed segments wait")


def _running(config: Config) -> Endpoint | None:
    """Return the announced endpoint if its process is alive."""
    try:
        endpoint = msgspec.json.decode((control_folder(config.root) / STATUS_FILE).read_bytes(), type=Endpoint)
        os.kill(endpoint.pid, 0)
    except (OSError, msgspec.MsgspecError):
        return None
    return endpoint


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
