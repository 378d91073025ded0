"""JSON lines on stderr: one object a transition, with secrets taken out before rendering.

Rule 1: log transitions, not ticks; ticks go to tables.
Rule 2: a closed or full stderr drops lines and counts them; it never stops the process (F-74).
Rule 3: what looks like a 32-byte key (`0x` and 64 hex digits), or stands under a secret's name, is not written (I-34).
"""

import logging
import os
import re
import select
from collections.abc import Callable
from typing import Any

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger
from typing_extensions import override

_SECRET_NAMES = frozenset(
    {"agent_key", "authorization", "key", "password", "private_key", "secret", "seed", "signature", "token"}
)
_SECRET_TEXT = re.compile(r"0x[0-9a-fA-F]{64,}")
_REDACTED = "[redacted]"
_DEPTH_MAX = 8
_session: dict[str, Any] = {}
_seq_source: list[Callable[[], int]] = []


def redacted(value: Any, depth: int = 0) -> Any:  # noqa: ANN401 - any JSON-like value
    """Return `value` with secrets replaced, in nested containers and in the text of exceptions too."""
    if depth > _DEPTH_MAX:
        return _REDACTED
    if isinstance(value, dict):
        return {
            str(name): _REDACTED if str(name).lower() in _SECRET_NAMES else redacted(item, depth + 1)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [redacted(item, depth + 1) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    return _SECRET_TEXT.sub(_REDACTED, str(value))


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Structlog processor: see `redacted`."""
    result: EventDict = redacted(dict(event))
    return result


def bind_session(session_id: str, config_hash: str, seq: Callable[[], int]) -> None:
    """Put session, configuration and the newest sequence number on every line from now on."""
    _session.update(session_id=session_id, config_hash=config_hash)
    _seq_source[:] = [seq]


def bind_config(config_hash: str) -> None:
    """Put another configuration on every line from now on (reload)."""
    _session.update(config_hash=config_hash)


def add_session(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Structlog processor: what `bind_session` said; a line's own values come first."""
    for name, value in _session.items():
        event.setdefault(name, value)
    for seq in _seq_source:
        event.setdefault("seq", seq())
    return event


class LibraryLines(logging.Handler):
    """Turns what libraries log into lines of ours."""

    @override
    def emit(self, record: logging.LogRecord) -> None:
        """Write one record, cut at 500 characters."""
        get_logger(component=record.name).log(record.levelno, "library_logged", text=record.getMessage()[:500])


class StderrWriter:
    """Writes whole lines to a file descriptor and counts those it had to drop."""

    def __init__(self, fd: int) -> None:
        """Write to `fd` from now on."""
        self._fd = fd
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        self.dropped_count = 0

    def msg(self, message: str) -> None:
        """Write one line, or drop it."""
        # Asked first: a pipe that nobody reads would hold the loop (F-74). O_NONBLOCK would be our parent's flag too.
        line = message.encode(errors="backslashreplace") + b"\n"
        try:
            for begin in range(0, len(line), select.PIPE_BUF):
                if not self._poll.poll(0):
                    self.dropped_count += 1
                    return
                os.write(self._fd, line[begin : begin + select.PIPE_BUF])
        except OSError:
            self.dropped_count += 1

    debug = info = warning = error = critical = msg


def configure_logs(fd: int = 2, *, level: str = "info") -> StderrWriter:
    """Send this process's log lines to `fd` and return the writer (for its drop count)."""
    writer = StderrWriter(fd)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            add_session,
            structlog.processors.format_exc_info,
            redact,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: writer,
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[LibraryLines()], level=logging.WARNING, force=True)
    return writer


def get_logger(**context: object) -> FilteringBoundLogger:
    """Return a logger that carries `context` on each line."""
    logger: FilteringBoundLogger = structlog.get_logger(**context)
    return logger
