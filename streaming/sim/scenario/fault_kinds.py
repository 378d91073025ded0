"""Every fault that the simulated venue knows: the catalogue of scenario files, the admin endpoint and docs/faults.md.

Rule 1: a kind is a value here; `venue.faults` makes it happen.
Rule 2: every fault of the matrix that a venue can inject has a kind (`fault_ids`); a test compares.
"""

from streaming.sim.scenario.fault_kinds_exchange import ACCOUNT_KINDS, EXCHANGE_KINDS
from streaming.sim.scenario.fault_parameters import FaultKind, Parameter

_COINS = ("coins",)
_STREAMS = ("coins", "channels", "users")
_ORDERS = ("coins", "users")

HOSTILE_NAMES = {
    "newline": "xyz:A\nB",
    "ansi": "xyz:\x1b[31mRED\x1b[0m",
    "rtl": "xyz:\u202eATLSN",
    "glob": "xyz:*?",
    "case_twin": "xyz:nvda",
    "sql": "xyz:'; DROP TABLE bbo;--",
    "braces": "xyz:{}{0.__class__}",
    "percent": "xyz:%s%n",
    "path": "xyz:../../etc/passwd",
    "long": "xyz:" + "A" * 1_000_000,
}
"""Names that `hostile_name` puts in place of a market's (F-108)."""

_FEED = (
    FaultKind(
        "close",
        ("F-01",),
        "feed",
        "closes every websocket (those that listen to a named coin, channel or user) once",
        _STREAMS,
        (Parameter("code", 1000, "close code; 1006 cuts the connection without a close frame", low=1000, high=4999),),
        mode="event",
    ),
    FaultKind(
        "mute",
        ("F-04", "F-05"),
        "feed",
        "sends no frame of the streams; unless `pong` or another channel is named, only data is silent",
        _STREAMS,
    ),
    FaultKind("swap", ("F-07",), "feed", "sends the next two frames of a stream in exchanged order", _STREAMS),
    FaultKind(
        "duplicate",
        ("F-08", "F-31"),
        "feed",
        "sends every frame again",
        _STREAMS,
        (Parameter("times", 1, "how often again", low=1, high=100),),
    ),
    FaultKind(
        "hold",
        ("F-09",),
        "feed",
        "holds frames back and sends all of them, late, when the fault ends",
        _STREAMS,
        (Parameter("is_old_only", False, "only on connections that were open when the fault began"),),
    ),
    FaultKind(
        "delay",
        ("F-06",),
        "feed",
        "sends every frame later",
        _STREAMS,
        (Parameter("delay_ms", 1_000, "by how much", low=1, high=600_000),),
    ),
    FaultKind(
        "variant",
        ("F-11",),
        "feed",
        "sends frames of another shape",
        _STREAMS,
        (
            Parameter(
                "shape",
                "new_field",
                "a field nobody knows, a number for a string, a frame of a channel nobody knows, or half a frame",
                choices=("new_field", "wrong_type", "new_channel", "cut"),
            ),
        ),
    ),
    FaultKind(
        "value",
        ("F-12", "F-84"),
        "feed",
        "replaces a field's value wherever the frame has it",
        _STREAMS,
        (
            Parameter("field", "px", "name of the field (`px`, `sz`, `oraclePx`, `fee`, ...)"),
            Parameter("text", "NaN", "what stands there: NaN, Infinity, 0.0, -0, -1.0, 1e400, thirty digits, ..."),
        ),
    ),
    FaultKind(
        "snapshot_again",
        ("F-13",),
        "feed",
        "sends the snapshot of the streams again, with `isSnapshot` where it has that",
        _STREAMS,
        mode="event",
    ),
    FaultKind(
        "ack",
        ("F-14",),
        "feed",
        "breaks acknowledgements of subscriptions",
        _STREAMS,
        (
            Parameter(
                "shape",
                "missing",
                "no ack, an ack without the subscription, or one of another shape",
                choices=("missing", "partial", "wrong"),
            ),
        ),
    ),
    FaultKind(
        "subscription_limit",
        ("F-15",),
        "feed",
        "refuses subscriptions of a connection beyond a number",
        (),
        (Parameter("limit", 10, "subscriptions a connection may have", low=0, high=100_000),),
    ),
    FaultKind(
        "time",
        ("F-16",),
        "feed",
        "moves the venue's time in frames that carry one",
        _STREAMS,
        (Parameter("offset_ms", 3_600_000, "by how much", low=-864_000_000, high=864_000_000),),
    ),
    FaultKind(
        "flood",
        ("F-18",),
        "feed",
        "multiplies the rate of a stream: further frames that differ in `n` or `sz` only",
        _STREAMS,
        (Parameter("times", 10, "frames for one", low=2, high=1_000),),
    ),
    FaultKind(
        "big_frame",
        ("F-18",),
        "feed",
        "makes frames larger than a client's limit with a field nobody knows",
        _STREAMS,
        (Parameter("bytes", 2_000_000, "size added", low=1, high=64_000_000),),
    ),
    FaultKind(
        "rename",
        ("F-20",),
        "feed",
        "frames of a market name another one",
        _STREAMS,
        (Parameter("to", "BTC", "the name that stands in their place"),),
    ),
)

_MARKET = (
    FaultKind(
        "book",
        ("F-17",),
        "market",
        "gives the book another shape",
        _COINS,
        (
            Parameter(
                "shape",
                "empty",
                "which: a missing side, no side, bid = ask, bid above ask",
                choices=("empty", "no_bids", "no_asks", "locked", "crossed"),
            ),
        ),
        mode="state",
    ),
    FaultKind(
        "halt",
        ("F-37", "F-38"),
        "market",
        "halts trading: orders cancelled, positions settled at mark",
        _COINS,
        mode="state",
    ),
    FaultKind(
        "delist",
        ("F-39",),
        "market",
        "delists the market: `isDelisted`, no book, positions settled",
        _COINS,
        mode="state",
    ),
    FaultKind("vanish", ("F-39",), "info", "leaves the market out of `meta` as if it had never been", _COINS),
    FaultKind("oi_cap", ("F-40",), "market", "the market stands at its open-interest cap", _COINS, mode="state"),
    FaultKind(
        "parameter",
        ("F-41",),
        "market",
        "changes a fact of the market",
        _COINS,
        (
            Parameter(
                "name",
                "leverage_max",
                "which fact",
                choices=("sz_decimals", "leverage_max", "margin_mode", "is_growth_mode", "fee_scale", "oi_cap_usd"),
            ),
            Parameter("value", "5", "its value as text, checked as in a scenario file"),
        ),
        mode="state",
    ),
    FaultKind(
        "hostile_name",
        ("F-108",),
        "info",
        "gives the market a hostile name in `meta`",
        _COINS,
        (Parameter("name", "newline", "which name", choices=tuple(HOSTILE_NAMES)),),
    ),
    FaultKind(
        "oracle",
        ("F-47",),
        "market",
        "breaks the oracle price (and the mark with it)",
        _COINS,
        (
            Parameter(
                "shape",
                "frozen",
                "stands still, steps up and down, stands away, or is a multiple",
                choices=("frozen", "steps", "shifted", "factor"),
            ),
            Parameter("bps", 100.0, "size of a step or shift", low=-9_000, high=100_000),
            Parameter("period_ms", 6_000, "two steps take this long", low=100, high=3_600_000),
            Parameter("factor", 10.0, "the multiple", low=0.001, high=1_000),
        ),
        mode="state",
    ),
    FaultKind(
        "pull",
        ("F-52",),
        "exchange",
        "makers are gone when an order arrives: an IOC does not fill, the book looks as before",
        _ORDERS,
    ),
    FaultKind(
        "thin",
        ("F-53",),
        "market",
        "multiplies all displayed sizes",
        _COINS,
        (Parameter("ratio", 0.02, "with what", low=0.000_1, high=1.0),),
        mode="state",
    ),
)

KINDS: dict[str, FaultKind] = {kind.name: kind for kind in (*_FEED, *_MARKET, *EXCHANGE_KINDS, *ACCOUNT_KINDS)}
