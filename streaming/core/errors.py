"""The one error tree.

    Hip3Error
    ├─ ConfigError            bad file, unknown key, unsafe permission   → refuse to start (exit 2)
    ├─ PreflightRefused       may not observe or trade, every reason     → exit 3
    ├─ VenueError             the venue, or the way to it
    │   ├─ NotSent            proved before any byte left
    │   ├─ Rejected           definitive, structured evidence
    │   ├─ OutcomeUnknown     timeout after send, disconnect, 5xx, garbage
    │   └─ RateLimited        429, or our own account of the limit
    ├─ StoreError             no space, short write, checksum, foreign version
    └─ InvariantViolation     our bug; never caught below the runtime    → exit 70

The core raises `InvariantViolation` only: expected trouble is a value there. Messages say what was expected, what was
found and what the operator can do; they hold no secret and at most 200 bytes of a payload.
"""


class Hip3Error(Exception):
    """Root of every error this project raises on purpose."""


class ConfigError(Hip3Error):
    """The configuration can not be used."""


class PreflightRefused(Hip3Error):
    """The venue, or our plan for it, may not be used; holds every reason at once."""

    def __init__(self, reasons: tuple[str, ...]) -> None:
        """Keep `reasons`, each a sentence for the operator."""
        super().__init__("; ".join(reasons))
        self.reasons = reasons


class VenueError(Hip3Error):
    """The venue, or the way to it, failed."""


class NotSent(VenueError):
    """Nothing left this machine: connect failed or timed out."""


class Rejected(VenueError):
    """The venue answered with a structured refusal."""

    def __init__(self, code: str, text: str) -> None:
        """Keep the mapped `code` and the venue's own `text`."""
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text


class OutcomeUnknown(VenueError):
    """The request may or may not have been executed."""


class RateLimited(VenueError):
    """The venue, or our own account of its limits, says to wait; `scope` names which limit."""

    def __init__(self, scope: str, text: str) -> None:
        """Keep the limit's `scope` (`ip_weight`, `messages`, `address`)."""
        super().__init__(f"{scope}: {text}")
        self.scope = scope


class StoreError(Hip3Error):
    """A file can not be written, read or trusted."""


class InvariantViolation(Hip3Error):
    """An invariant of the design does not hold: our bug, so the process must stop."""

    def __init__(self, invariant: str, **context: object) -> None:
        """Keep the id of the `invariant` (`I-07`) and the values that break it."""
        super().__init__(f"{invariant} violated: {context}")
        self.invariant = invariant
        self.context = context


def check(condition: bool, invariant: str, **context: object) -> None:
    """Raise `InvariantViolation` unless `condition` holds; unlike `assert` it survives `python -O`."""
    if not condition:
        raise InvariantViolation(invariant, **context)
