"""The sidecar's configuration as one frozen value: types, bounds, safe defaults and rules between fields.

Rule 1: every bound lives here, so file, environment, flags and reload are judged by the same code.
Rule 2: `venue` selects hosts; free-form hosts do not exist (F-106). Secrets are no part of it (I-34).
Rule 3: the hash of the canonical effective configuration goes on every row.

How the value is put together from its sources is in `config_load`.
"""

import hashlib
import re
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from streaming.contracts.control import DEFAULT_CONTROL_PORT
from streaming.contracts.paths import checked_name
from streaming.core.blackout import parse_windows
from streaming.core.effects import GateId
from streaming.core.limits import Limits

Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
Venue = Literal["sim", "testnet", "mainnet"]
Channel = Literal["bbo", "activeAssetCtx", "l2Book", "trades"]

_ADDRESS = re.compile(r"(0x[0-9a-fA-F]{40})?")


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything an operator may set. Defaults observe the simulated venue and trade nothing."""

    venue: Venue = "sim"
    """Selects the URLs."""
    sim_port: Port = 8010
    """Port of the simulated venue on 127.0.0.1, read with `venue = "sim"` only."""
    dexes: tuple[str, ...] = ("xyz",)
    """HIP-3 dexes to watch, by exact name."""
    coins: tuple[str, ...] = ()
    """Full names (`xyz:NVDA`) to watch; empty is every market of the dexes."""
    channels: tuple[Channel, ...] = ("bbo", "activeAssetCtx", "l2Book", "trades")
    """Subscriptions per market; the first two are required."""
    account: str = ""
    """Master address; empty observes without an account."""
    agent_key_file: str = ""
    """File of the agent's key (`hip3 keys new`), mode 0600; empty signs nothing."""
    agent_key_password_file: str = ""
    """Password of a keystore, mode 0600; empty asks at the terminal."""
    shutdown_policy: Literal["flatten", "leave"] = "flatten"
    """What SIGTERM does with real positions; `leave` hands them to the next start, or to the watchdog."""
    warehouse: str = "warehouse"
    """Folder that receives journal, tables and control files."""
    control_port: Port = DEFAULT_CONTROL_PORT
    """Port of the control API on 127.0.0.1; 0 takes a free one."""
    transport: Literal["picows", "websockets"] = "picows"
    """Websocket client of the market data socket."""
    busy_poll_ms: Annotated[int, msgspec.Meta(ge=0, le=1_000)] = 10
    """While an entry is possible, the loop does not sleep for so long after a turn; 0 lets it (docs/bench.md)."""
    rehearsal_interval_ms: Annotated[int, msgspec.Meta(ge=0, le=1_000)] = 1
    """While an entry is possible and no frame comes, the order path is run dry this often; 0 never (docs/bench.md)."""
    presignature_count: Annotated[int, msgspec.Meta(ge=0, le=64)] = 8
    """So many signatures are begun ahead in those pauses; 0 makes each when it is needed: RFC 6979 (docs/keys.md)."""
    journal_segment_bytes_max: Annotated[int, msgspec.Meta(ge=65_536, le=4_294_967_296)] = 67_108_864
    """A journal segment is closed at this size; tables appear after that."""
    journal_segment_age_s_max: Annotated[int, msgspec.Meta(ge=1, le=3_600)] = 60
    """A journal segment is closed at this age."""
    retention_bytes_max: Annotated[int, msgspec.Meta(ge=1_048_576)] = 21_474_836_480
    """Journals of ended and projected segments beyond this are deleted, oldest first."""
    retention_days_max: Annotated[int, msgspec.Meta(ge=1, le=3_650)] = 30
    """Journals older than this are deleted once projected."""
    limits: Limits = Limits()

    @property
    def root(self) -> Path:
        """The warehouse as an absolute path."""
        return Path(self.warehouse).expanduser().absolute()


def config_json(config: Config) -> str:
    """Return the canonical JSON of the effective configuration: equal configurations have equal text."""
    return msgspec.json.encode(config, order="sorted").decode()


def config_hash(config: Config) -> str:
    """Return sha256 of `config_json`."""
    return hashlib.sha256(config_json(config).encode()).hexdigest()


def problems(config: Config) -> tuple[str, ...]:
    """Return every rule between or beyond single bounds that `config` breaks: key, expected, found, what to do."""
    return tuple(_shell_problems(config)) + tuple(_limit_problems(config.limits))


def _shell_problems(config: Config) -> Iterator[str]:
    yield from _account_problems(config)
    if not config.dexes:
        yield 'dexes: expected at least one name, found none; write dexes = ["xyz"]'
    for missing in [channel for channel in ("bbo", "activeAssetCtx") if channel not in config.channels]:
        yield f"channels: expected bbo and activeAssetCtx among them, found no {missing}; add it, the gates need it"
    if len(set(config.channels)) != len(config.channels):
        yield f"channels: expected each once, found {list(config.channels)}; remove the repeated one"
    for key, names in (("dexes", config.dexes), ("coins", config.coins)):
        for name in names:
            try:
                checked_name(name)
            except ValueError as error:
                yield f"{key}: {error}; write the venue's exact name"
    for coin in config.coins:
        if coin.partition(":")[0] not in config.dexes or ":" not in coin:
            found = f"found {coin[:60]!r}; write its full name and add its dex to dexes"
            yield f"coins: expected names as dex:COIN of {list(config.dexes)}, {found}"


def _account_problems(config: Config) -> Iterator[str]:
    if not _ADDRESS.fullmatch(config.account):
        yield (
            f"account: expected empty or 0x and 40 hex digits (the master address), found {config.account[:60]!r}; "
            "leave it empty to observe"
        )
    if config.agent_key_file and not config.account:
        yield "account: expected the master address that agent_key_file signs for, found none; write it"


def _limit_problems(limits: Limits) -> Iterator[str]:
    yield from _number_problems("limits", limits)
    sizing = limits.sizing
    order = (
        ("limits.sizing.order_ntl_min", sizing.order_ntl_min),
        ("limits.sizing.order_ntl_max", sizing.order_ntl_max),
        ("limits.sizing.position_ntl_max", sizing.position_ntl_max),
        ("limits.sizing.account_ntl_max", sizing.account_ntl_max),
    )
    for (low_key, low), (high_key, high) in pairwise(order):
        if low > high:
            yield f"{low_key}: expected at most {high_key} = {high}, found {low}; lower the first or raise the second"
    if not 0 < limits.detector.rearm_ratio < 1:
        yield _between("limits.detector.rearm_ratio", "inside (0, 1)", limits.detector.rearm_ratio)
    for key, ratio in (
        ("limits.gates.spread_ewma_alpha", limits.gates.spread_ewma_alpha),
        ("limits.sizing.alpha_ratio", sizing.alpha_ratio),
        ("limits.sizing.reduce_ratio", sizing.reduce_ratio),
        ("limits.rate_use_entries_ratio_max", limits.rate_use_entries_ratio_max),
    ):
        if not 0 < ratio <= 1:
            yield _between(key, "inside (0, 1]", ratio)
    if limits.gates.spread_shock_ratio_max <= 1:
        yield _between("limits.gates.spread_shock_ratio_max", "above 1", limits.gates.spread_shock_ratio_max)
    offsets = limits.detector.followup_offsets_ms
    if not offsets or list(offsets) != sorted(set(offsets)) or offsets[0] < 1:
        yield _between("limits.detector.followup_offsets_ms", "ascending positive milliseconds", list(offsets))
    yield from _disabled_gate_problems(limits)
    yield from _trading_problems(limits)


def _trading_problems(limits: Limits) -> Iterator[str]:
    actions = limits.actions
    for low_key, low, high_key, high in (
        ("exit_token_count", actions.exit_token_count, "action_burst_count", actions.action_burst_count),
        ("exit_in_flight_count", actions.exit_in_flight_count, "in_flight_count_max", actions.in_flight_count_max),
    ):
        if low >= high:
            yield _between(f"limits.actions.{low_key}", f"less than {high_key} = {high}, else no entry ever goes", low)
    if actions.entry_batch_ms >= actions.entry_expiry_ms:
        yield _between("limits.actions.entry_batch_ms", "less than entry_expiry_ms", actions.entry_batch_ms)
    try:
        parse_windows(limits.losses.blackout_windows_utc)
    except ValueError as error:
        yield f"limits.losses.blackout_windows_utc: {error}"


def _disabled_gate_problems(limits: Limits) -> Iterator[str]:
    gates = {str(gate) for gate in GateId}
    for gate, reason in limits.gates.disabled_gates.items():
        if gate not in gates:
            yield _between("limits.gates.disabled_gates", f"names among {sorted(gates)}", gate)
        if not reason.strip():
            yield _between(f"limits.gates.disabled_gates.{gate}", "a reason", repr(reason))


def _number_problems(prefix: str, value: msgspec.Struct) -> Iterator[str]:
    """Every Decimal limit is a finite number above 0 (0 never means off); allowances may be 0."""
    for name in value.__struct_fields__:
        item = getattr(value, name)
        if isinstance(item, msgspec.Struct):
            yield from _number_problems(f"{prefix}.{name}", item)
        elif isinstance(item, Decimal):
            may_be_zero = name in {"slippage_bps", "edge_bps_min"}
            if not item.is_finite() or item < 0 or (item == 0 and not may_be_zero):
                yield _between(f"{prefix}.{name}", "a number above 0", item)


def _between(key: str, expected: str, found: object) -> str:
    return f"{key}: expected {expected}, found {found}; correct it or leave it out for the default"
