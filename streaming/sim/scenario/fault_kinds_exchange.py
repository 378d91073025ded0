"""Kinds of faults that strike orders, answers and accounts; see `fault_kinds` for the whole catalogue."""

from streaming.sim.scenario.fault_parameters import FaultKind, Parameter

_REQUESTS = ("channels", "users")
_ORDERS = ("coins", "users")

REJECT_CODES = (
    "tick", "min_ntl", "margin", "reduce_only", "alo", "ioc", "trigger_px", "no_liquidity", "oi_cap",
    "oi_cap_aggressive", "oi_increase", "spot_balance", "oracle", "position_limit", "price_band", "invalid_px",
    "invalid_sz", "zero_sz", "post_only", "open_orders", "halted",
)  # fmt: skip
"""Documented refusals of one order; `exchange.requests.refusals` has their texts."""

EXCHANGE_KINDS = (
    FaultKind(
        "reject",
        ("F-21",),
        "exchange",
        "refuses orders with a documented text",
        _ORDERS,
        (Parameter("code", "margin", "which text", choices=REJECT_CODES),),
    ),
    FaultKind(
        "reject_text",
        ("F-22",),
        "exchange",
        "refuses orders with any text",
        _ORDERS,
        (Parameter("text", "Order refused for a reason nobody has written down.", "the text"),),
    ),
    FaultKind(
        "batch_error",
        ("F-23",),
        "exchange",
        "answers a whole batch with one error",
        _REQUESTS,
        (
            Parameter("shape", "single", "statuses of one element, or `status: err`", choices=("single", "top")),
            Parameter("text", "Order price cannot be more than 80% away from the reference price", "the text"),
        ),
    ),
    FaultKind(
        "statuses",
        ("F-24",),
        "exchange",
        "executes a batch and answers with another array of statuses",
        _REQUESTS,
        (Parameter("shape", "short", "what is wrong with it", choices=("short", "long", "shuffled")),),
    ),
    FaultKind("lost_request", ("F-25",), "exchange", "loses a request: neither executed nor answered", _REQUESTS),
    FaultKind("lost_answer", ("F-26",), "exchange", "executes a request and never answers", _REQUESTS),
    FaultKind(
        "garbage",
        ("F-28",),
        "exchange",
        "executes a request and answers garbage",
        ("channels",),
        (Parameter("shape", "html", "HTTP 502 page, cut JSON, or bytes", choices=("html", "cut", "gzip")),),
    ),
    FaultKind(
        "partial",
        ("F-30",),
        "exchange",
        "matches a part of an arriving order only; the rest of an IOC is cancelled",
        _ORDERS,
        (Parameter("ratio", 0.5, "the part", low=0.0, high=1.0),),
    ),
    FaultKind(
        "cloid",
        ("F-32",),
        "exchange",
        "decides about orders whose cloid was used before (HL-01: unknown); else refused while that one lives",
        ("users",),
        (Parameter("is_accepted", True, "taken as a new order, or refused for ever"),),
    ),
    FaultKind(
        "nonce",
        ("F-33",),
        "exchange",
        "refuses actions for their nonce",
        ("channels",),
        (Parameter("reason", "low", "which refusal", choices=("low", "duplicate", "window")),),
    ),
    FaultKind(
        "post_only",
        ("F-21",),
        "exchange",
        "only post-only orders are accepted, as after a network upgrade; `exchangeStatus` says so",
        mode="state",
    ),
    FaultKind("rate_limit", ("F-34",), "exchange", "answers HTTP 429; without `channels` to everything", ("channels",)),
    FaultKind("budget", ("F-35",), "exchange", "the addresses have used up their requests", ("users",), mode="event"),
    FaultKind(
        "latency",
        ("F-25",),
        "exchange",
        "an action enters its block later, and its answer comes later",
        _REQUESTS,
        (
            Parameter("arrival_ms", 2_000, "added before the block", low=0, high=600_000),
            Parameter("answer_ms", 0, "added to the answer", low=0, high=600_000),
        ),
    ),
    FaultKind(
        "agents_revoked",
        ("F-43",),
        "exchange",
        "the agents of the users (of everybody) are removed, as by their master or at their end",
        ("users",),
        mode="event",
    ),
    FaultKind(
        "agents_pruned",
        ("F-44",),
        "exchange",
        "all agents and their nonces are dropped, as of masters without funds; approved again, they can be replayed",
        mode="event",
    ),
    FaultKind(
        "signer_unknown",
        ("F-43", "F-94"),
        "exchange",
        "no signer is known: as with a key of another network, an agent nobody approved, a wrong master",
        ("channels",),
    ),
    FaultKind(
        "outage",
        ("F-50",),
        "exchange",
        "the venue is down: HTTP errors on everything, silent websockets",
        (),
        (Parameter("status", 503, "HTTP status", choices=(500, 502, 503, 504)),),
    ),
)

ACCOUNT_KINDS = (
    FaultKind(
        "liquidate",
        ("F-42",),
        "account",
        "liquidates positions",
        _ORDERS,
        (
            Parameter("ratio", 1.0, "part of the position", low=0.01, high=1.0),
            Parameter("method", "market", "as the fills say it", choices=("market", "backstop", "adl")),
        ),
        mode="event",
    ),
    FaultKind(
        "positions",
        ("F-45",),
        "info",
        "clearinghouseState tells something else",
        ("users",),
        (
            Parameter(
                "shape",
                "empty",
                "no positions, the first answer again and again, or another dex",
                choices=("empty", "stale", "other_dex"),
            ),
        ),
    ),
    FaultKind(
        "trade",
        ("F-46", "F-70"),
        "account",
        "somebody else trades on the account: a fill with an oid the client never sent",
        _ORDERS,
        (
            Parameter("sz", 0.0, "size in base units, 0 takes about 20 USD", low=0.0),
            Parameter("is_buy", True, "side"),
        ),
        mode="event",
    ),
    FaultKind(
        "transfer",
        ("F-46",),
        "account",
        "money comes or goes: a deposit, or a withdrawal if negative, with the owner's transfer from or to the dex",
        ("users",),
        (
            Parameter("usd", 100.0, "how much", low=-1e9, high=1e9),
            Parameter("dex", "", "which dex of the scenario gets or loses it; empty is the validator's"),
        ),
        mode="event",
    ),
    FaultKind(
        "fee",
        ("F-48", "F-118"),
        "account",
        "fills of everybody cost another fee",
        (),
        (
            Parameter("factor", 2.0, "times the fee; negative is a rebate", low=-10.0, high=100.0),
            Parameter("token", "", "`feeToken` of fills; empty is the collateral"),
        ),
        mode="state",
    ),
    FaultKind(
        "funding",
        ("F-49", "F-118"),
        "account",
        "funding is charged now, to every position at the rate in force",
        ("users",),
        (Parameter("flat_usd", 0.0, "charged to accounts without a position, as if they had just closed it"),),
        mode="event",
    ),
    FaultKind(
        "zero_fill",
        ("F-118",),
        "account",
        "a fill of size zero is told",
        _ORDERS,
        mode="event",
    ),
)
