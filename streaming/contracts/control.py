"""Messages of the control API (`/v1/...`), shared by the sidecar, its CLI and the platform."""

from decimal import Decimal

import msgspec

API_PREFIX = "/v1"
DEFAULT_CONTROL_PORT = 8787
TOKEN_FILE = "token"  # noqa: S105 - the file's name, below control/
PLATFORM_TOKEN_FILE = "platform.token"  # noqa: S105 - as above
"""The platform's own token: it may push rotations, lower the phase and stop; it can not raise, arm or reset."""
STATUS_FILE = "sidecar.json"
"""Written at start into control/: where the running sidecar listens."""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Content of `control/sidecar.json`."""

    pid: int
    session_id: str
    venue: str
    control_url: str
    started_ts_ns: int


class StopBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/stop` and `POST /v1/reset`."""

    reason: str
    operator: str


class ArmBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/arm`."""

    is_armed: bool
    operator: str


class PhaseBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/phase`."""

    phase: str
    reason: str
    operator: str
    verdict: str = ""
    """Text of the verdict document the approval relies on, byte for byte as it was written (`contracts.phase`)."""


class ApproveBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/approve`: an operator accepts a market's changed specification (gate 5)."""

    coin: str
    operator: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Answer of every verb that changes something; 200 accepted, 422 refused with every reason."""

    is_accepted: bool
    reasons: tuple[str, ...] = ()


class RotationAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Answer of `PUT /v1/rotation` (200 or 422) and of `GET /v1/rotation`."""

    is_accepted: bool
    version: int
    sha256: str
    reasons: tuple[str, ...] = ()


class MarketStatusView(msgspec.Struct, frozen=True, kw_only=True):
    """One market in `GET /v1/status`."""

    coin: str
    state: str
    reason: str
    book_class: str
    bid_px: Decimal | None
    ask_px: Decimal | None
    oracle_px: Decimal | None
    mark_px: Decimal | None
    spread_bps: Decimal | None
    bbo_age_ms: int | None
    ctx_age_ms: int | None
    blocking_gates: tuple[str, ...]
    episode_count: int
    signal_count: int
    is_allowed: bool
    position_sz: Decimal
    """Paper."""
    stopped_by: str = ""
    """Gate that keeps real trading out of this market; `not_configured` where only what is open is closed."""
    is_session_open: bool = True
    """Whether the underlying's own market is open."""
    session_change_ts_ns: int | None = None
    """When that changes next; None for what never opens or closes."""


class PositionView(msgspec.Struct, frozen=True, kw_only=True):
    """One real position in `GET /v1/status`."""

    coin: str
    sz: Decimal
    """Signed."""
    entry_px: Decimal
    cost_ntl: Decimal
    unrealised_pnl: Decimal | None
    """At the side of the touch it would leave by, fees apart; None while that side is empty."""
    net_pnl: Decimal
    """Realised so far, after fees and funding."""
    held_ms: int
    exit_reason: str
    """Why it is being closed; empty while it is held."""


class OrderView(msgspec.Struct, frozen=True, kw_only=True):
    """One real order that still binds something, in `GET /v1/status`."""

    coin: str
    cloid: str
    side: str
    is_reduce_only: bool
    limit_px: Decimal
    sz: Decimal
    applied_sz: Decimal
    status: str
    reason: str
    age_ms: int


class TradingView(msgspec.Struct, frozen=True, kw_only=True):
    """Real trading in `GET /v1/status`; the defaults are those of a sidecar that has none."""

    is_ready: bool = False
    unready_reason: str = ""
    ladder_step: int = 0
    ladder_name: str = ""
    is_flattening: bool = False
    day_pnl_usd: Decimal = Decimal(0)
    """Closed trades of this UTC day, after fees and funding."""
    drawdown_usd: Decimal = Decimal(0)
    loss_streak_count: int = 0
    action_in_flight_count: int = 0
    address_left_count: int | None = None
    """Requests left of the address budget; None before it was read."""
    address_left_hours: Decimal | None = None
    """Until it is used up, at the rate of the last reads; None while it does not fall."""
    in_doubt_count: int = 0
    positions: tuple[PositionView, ...] = ()
    orders: tuple[OrderView, ...] = ()
    ignored_coins: tuple[str, ...] = ()
    """Markets that are not watched and in which an operator's reset accepted a position as none of ours."""


class StatusView(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /v1/status`: everything an operator asks first."""

    version: str
    session_id: str
    venue: str
    account: str
    config_hash: str
    phase: str
    is_armed: bool
    stop_reason: str | None
    is_connected: bool
    generation: int
    reconnect_count: int
    seq: int
    uptime_s: float
    ready_count: int
    market_count: int
    entries_closed_by: tuple[str, ...]
    rate_use_ratio: float
    rotation_version: int
    rotation_sha256: str
    rotation_expires_ts_ns: int
    event_count: int
    signal_count: int
    episode_count: int
    disabled_gates: dict[str, str]
    markets: tuple[MarketStatusView, ...]
    trading: TradingView = msgspec.field(default_factory=TradingView)
