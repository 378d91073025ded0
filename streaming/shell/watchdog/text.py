"""What the watchdog says, for programs and for people."""

from datetime import UTC, datetime

import msgspec

from streaming.core.units import NS_PER_S
from streaming.shell.watchdog.guard import Line


def json_line(line: Line) -> str:
    """Return a line for programs."""
    return msgspec.json.encode(line).decode()


def text_line(line: Line) -> str:
    """Return a line for a person."""
    moment = datetime.fromtimestamp(line.ts_ns // NS_PER_S, tz=UTC)
    age = "" if line.age_ms is None else f", last beat {line.age_ms / 1000:.1f} s ago"
    held = f"; open: {', '.join(line.positions)}" if line.positions else ""
    resting = f"; {line.open_order_count} resting orders" if line.open_order_count else ""
    detail = f"; {line.detail}" if line.detail else ""
    return f"{moment:%H:%M:%S} {line.event}: heartbeat {line.heartbeat}{age}{held}{resting}{detail}"
