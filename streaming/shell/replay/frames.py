"""Recorded frames through the whole path: decode → engine → tables → figures, on the venue `replay`.

A recording knows less than the sidecar did, so this module says what it had to assume.

Rule 1: time comes from the recorder, else from the venue's time in the frame, else one millisecond after the frame
    before; it never runs backwards.
Rule 2: specs are inferred and carry a spec_version that begins with `inferred-`; status polls are missing, so gates
    that need them block.
Rule 3: a hole of more than `HOLE_S_MAX` is a lost connection: what was known before it decides nothing after it.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from streaming.contracts.projection import Projector
from streaming.core import events as ev
from streaming.core.effects import AnyOutput, Reconnect, Resubscribe
from streaming.core.engine import new_state, step
from streaming.core.errors import ConfigError
from streaming.core.fees import taker_fee_bps
from streaming.core.limits import Limits
from streaming.core.market import MarketSpec
from streaming.core.registry import spec_version_of
from streaming.core.state import SessionInfo
from streaming.core.units import NS_PER_MS, NS_PER_S
from streaming.hyperliquid.decode import decode_frame
from streaming.shell.replay.frame_lines import FrameLine, read_frame_lines
from streaming.shell.replay.frame_stats import FrameStats, MarketDay
from streaming.shell.replay.settings import changed_limits
from streaming.shell.tables.seal import PartWriter, file_sha256

VENUE = "replay"
HOLE_S_MAX = 60
ROWS_SEALED_AT = 500_000
USER_CROSS_RATE = Decimal("0.00045")
"""Base tier of `userFees.userCrossRate`."""
_SZ_DECIMALS_MAX = 6
_MONO_NS_BEGIN = NS_PER_S
_CHANNELS = ("bbo", "activeAssetCtx")


class FramesReport(msgspec.Struct, kw_only=True):
    """Everything that is known about a replayed recording."""

    file: str
    session_id: str
    config_hash: str
    settings: list[str]
    frame_count: int
    read_count: int
    unreadable_count: int
    unknown_count: int
    channels: dict[str, Any]
    stamp_sources: dict[str, int]
    """Frames by where their receive time came from: `recorder`, `venue` or `synthetic`."""
    clamped_count: int
    """Frames whose time ran backwards and was held."""
    hole_count: int
    reconnect_count: int
    """Reconnects that the engine asked for, done at once."""
    input_count: int
    row_counts: dict[str, int]
    part_count: int
    warehouse: str | None
    assumptions: list[str]
    markets: list[MarketDay]


class Survey(msgspec.Struct, kw_only=True):
    """What a first pass learned: the coins with their decimals, and a time to begin with."""

    px_decimals: dict[str, int] = {}
    sz_decimals: dict[str, int] = {}
    first_ts_ns: int | None = None


class Stamper:
    """Gives every frame receive stamps that never run backwards."""

    def __init__(self, first_ts_ns: int) -> None:
        self.sources = {"recorder": 0, "venue": 0, "synthetic": 0}
        self.clamped_count = 0
        self.ts_ns = first_ts_ns
        self.mono_ns = _MONO_NS_BEGIN

    def advance(self, recorded_ns: int | None, venue_ts_ms: int | None) -> int:
        """Move to the time of the next frame and return by how much the wall clock went on, in ns."""
        if recorded_ns is not None:
            source, ts_ns = "recorder", recorded_ns
        elif venue_ts_ms is not None:
            source, ts_ns = "venue", venue_ts_ms * NS_PER_MS
        else:
            source, ts_ns = "synthetic", self.ts_ns + NS_PER_MS
        self.sources[source] += 1
        self.clamped_count += ts_ns < self.ts_ns
        gap_ns = max(0, ts_ns - self.ts_ns)
        self.ts_ns += gap_ns
        # Beyond a hole the age clock goes on by the bound only: every market sample of a night would be made up.
        self.mono_ns += min(gap_ns, HOLE_S_MAX * NS_PER_S)
        return gap_ns


def replay_frames(
    path: Path, *, code_version: str, out: Path | None = None, settings: Sequence[str] = (), specs: Path | None = None
) -> FramesReport:
    """Replay a file of recorded frames.

    Args:
        path: JSON lines, see `frame_lines`.
        code_version: Stands in table `configs`.
        out: Warehouse that receives the tables; None computes figures only.
        settings: Changed limits, `detector.edge_bps_min=3`.
        specs: JSON array of `MarketSpec`; None infers them.

    Raises:
        ConfigError: The file or the specs can not be read, or a setting is wrong.
        StoreError: The tables can not be written.
    """
    try:
        with path.open("rb") as file:
            survey = survey_frames(read_frame_lines(file))
        sha256 = file_sha256(path)
    except OSError as error:
        raise ConfigError(f"expected a readable file of frames, found {error.strerror} at {path}") from error
    limits = changed_limits(Limits(), settings)
    markets = inferred_specs(survey) if specs is None else _read_specs(specs)
    config = {"mode": "frames", "sha256": sha256, "limits": msgspec.to_builtins(limits, builtin_types=(Decimal,))}
    config_json = msgspec.json.encode(config, order="sorted").decode()
    config_hash = hashlib.sha256(config_json.encode()).hexdigest()
    session = SessionInfo(
        session_id=f"replay-{sha256[:12]}-{config_hash[:8]}",
        venue=VENUE,
        account="",
        code_version=code_version,
        config_hash=config_hash,
    )
    replay = _Replay(session, limits, markets, survey, out, config_json)
    with path.open("rb") as file:
        replay.run(read_frame_lines(file))
    return replay.report(path, settings, is_inferred=specs is None)


def survey_frames(lines: Iterable[FrameLine]) -> Survey:
    """Read a recording once for its coins, decimals and first known time."""
    survey = Survey()
    for line in lines:
        event = decode_frame(line.raw, generation=1, recv_mono_ns=0, recv_ts_ns=0)
        if survey.first_ts_ns is None:
            venue_ts_ms = venue_ts_ms_of(event)
            survey.first_ts_ns = line.recv_ts_ns or (None if venue_ts_ms is None else venue_ts_ms * NS_PER_MS)
        for coin, px, sz in _quotes(event):
            survey.px_decimals[coin] = max(survey.px_decimals.get(coin, 0), _decimals(px))
            survey.sz_decimals[coin] = max(survey.sz_decimals.get(coin, 0), _decimals(sz))
    return survey


def inferred_specs(survey: Survey) -> tuple[MarketSpec, ...]:
    """Return specs as far as prices and sizes tell them; the rest are defaults, and the version says `inferred-`."""
    fee_bps = taker_fee_bps(user_cross_rate=USER_CROSS_RATE, deployer_fee_scale=Decimal(1), is_growth_mode=False)
    specs = []
    for coin in sorted(survey.sz_decimals):
        # Prices have at most 6 - szDecimals decimals, which bounds what sizes alone would suggest.
        sz_decimals = min(survey.sz_decimals[coin], max(0, _SZ_DECIMALS_MAX - survey.px_decimals[coin]))
        spec = MarketSpec(
            coin=coin,
            dex=coin.partition(":")[0] if ":" in coin else "",
            asset_id=-1,
            sz_decimals=sz_decimals,
            leverage_max=1,
            margin_mode="cross",
            is_growth_mode=False,
            deployer_fee_scale=Decimal(1),
            taker_fee_bps=fee_bps,
            is_delisted=False,
            collateral_token=0,
            spec_version="",
        )
        specs.append(msgspec.structs.replace(spec, spec_version=f"inferred-{spec_version_of(spec)}"))
    return tuple(specs)


def venue_ts_ms_of(event: ev.AnyEvent) -> int | None:
    """Return the venue's time in a frame; None for channels that carry none."""
    if isinstance(event, ev.BboUpdated | ev.BookUpdated):
        return event.venue_ts_ms
    if isinstance(event, ev.TradesReceived) and event.trades:
        return max(trade.venue_ts_ms for trade in event.trades)
    return None


class _Replay:
    """One run over a recording."""

    def __init__(
        self,
        session: SessionInfo,
        limits: Limits,
        specs: tuple[MarketSpec, ...],
        survey: Survey,
        out: Path | None,
        config_json: str,
    ) -> None:
        self._session = session
        self._coins = [spec.coin for spec in specs]
        self._state = new_state(session, limits, specs)
        self._projector = Projector(specs)
        self._stats = FrameStats()
        self._stamper = Stamper(survey.first_ts_ns or 0)
        self._generation = 0
        self._hole_count = 0
        self._reconnect_count = 0
        self._row_counts: dict[str, int] = {}
        self._part_count = 0
        self._unsealed_count = 0
        self._part = 0
        self._out = out
        self._writer: PartWriter | None = None
        if out is not None:
            self._writer = PartWriter(
                out, venue=session.venue, session_id=session.session_id, config_hash=session.config_hash
            )
        self._projector.session_began(self._stamper.ts_ns, session.code_version, config_json, 0)

    def run(self, lines: Iterable[FrameLine]) -> None:
        self._connect()
        for line in lines:
            self._take(line)
        self._apply(ev.SessionClosed(**self._now(), reason="end of the recording"))
        self._seal()

    def report(self, path: Path, settings: Sequence[str], *, is_inferred: bool) -> FramesReport:
        channels = self._stats.channels.values()
        return FramesReport(
            file=str(path),
            session_id=self._session.session_id,
            config_hash=self._session.config_hash,
            settings=list(settings),
            frame_count=sum(c.frame_count for c in channels),
            read_count=sum(c.read_count for c in channels),
            unreadable_count=sum(c.unreadable_count for c in channels),
            unknown_count=sum(c.unknown_count for c in channels),
            channels=self._stats.channel_table(),
            stamp_sources=self._stamper.sources,
            clamped_count=self._stamper.clamped_count,
            hole_count=self._hole_count,
            reconnect_count=self._reconnect_count,
            input_count=self._state.seq,
            row_counts=dict(sorted(self._row_counts.items())),
            part_count=self._part_count,
            warehouse=None if self._out is None else str(self._out),
            assumptions=list(self._assumptions(is_inferred=is_inferred)),
            markets=self._stats.market_days(),
        )

    def _assumptions(self, *, is_inferred: bool) -> Iterator[str]:
        stamper = self._stamper
        if is_inferred:
            yield (
                f"specs are inferred: sz_decimals from observed sizes and prices, fees of the base tier "
                f"({USER_CROSS_RATE} x 2 for HIP-3), asset ids unknown (-1)"
            )
        yield "every market counts as subscribed from the first frame on"
        yield "no status polls were recorded: gates oi_cap and halt are unknown and block"
        if stamper.sources["venue"]:
            yield f"{stamper.sources['venue']} frames without a receive stamp took the venue's time: no delay is seen"
        if stamper.sources["synthetic"]:
            yield f"{stamper.sources['synthetic']} frames without any time stand 1 ms after the frame before"
        if stamper.clamped_count:
            yield f"{stamper.clamped_count} frames were older than the one before and took its time"
        if self._projector.unknown_coin_count:
            yield f"{self._projector.unknown_coin_count} frames are of markets without a spec: they have no rows"

    def _take(self, line: FrameLine) -> None:
        # A frame is stamped before it is decoded, except that without a recorder's stamp its own time is all there is.
        event = decode_frame(line.raw, generation=self._generation, recv_mono_ns=0, recv_ts_ns=0)
        before = self._now()
        gap_ns = self._stamper.advance(line.recv_ts_ns, venue_ts_ms_of(event))
        if gap_ns > HOLE_S_MAX * NS_PER_S:
            self._hole_count += 1
            self._stats.connection_lost()
            reason = f"hole of {gap_ns // NS_PER_S} s in the recording"
            self._apply(ev.ConnectionLost(**before, generation=self._generation, reason=reason))
            self._connect()
        event = msgspec.structs.replace(event, **self._now())
        if hasattr(event, "generation"):
            event = msgspec.structs.replace(event, generation=self._generation)
        self._stats.frame_read(event)
        for output in self._apply(event):
            if isinstance(output, Reconnect):
                self._reconnect(output.reason)
            elif isinstance(output, Resubscribe):
                self._acknowledge([output.coin])

    def _reconnect(self, reason: str) -> None:
        self._reconnect_count += 1
        self._apply(ev.ConnectionLost(**self._now(), generation=self._generation, reason=reason))
        self._connect()

    def _connect(self) -> None:
        self._generation += 1
        self._apply(ev.ConnectionOpened(**self._now(), generation=self._generation))
        self._acknowledge(self._coins)

    def _acknowledge(self, coins: Sequence[str]) -> None:
        # A recording that begins in mid-stream holds no acknowledgements, and frames prove the subscription.
        for coin in coins:
            for channel in _CHANNELS:
                ack = ev.SubscriptionAcked(
                    recv_mono_ns=self._stamper.mono_ns,
                    recv_ts_ns=self._stamper.ts_ns,
                    generation=self._generation,
                    channel=channel,
                    coin=coin,
                )
                self._apply(ack)

    def _apply(self, event: ev.AnyEvent) -> list[AnyOutput]:
        outputs = step(self._state, event)
        self._projector.feed(self._state.seq, event, outputs)
        self._stats.decided(outputs)
        self._unsealed_count += 1 + len(outputs)
        if self._unsealed_count >= ROWS_SEALED_AT:
            self._seal()
        return outputs

    def _seal(self) -> None:
        self._unsealed_count = 0
        self._part += 1
        lines = []
        for (table, day), rows in self._projector.take().items():
            self._row_counts[table] = self._row_counts.get(table, 0) + len(rows)
            if self._writer is not None:
                self._part_count += 1
                if not self._writer.has_part(table, day, self._part):
                    lines.append(self._writer.seal(table, day, rows, part=self._part))
        if self._writer is not None:
            self._writer.announce(lines)

    def _now(self) -> dict[str, int]:
        return {"recv_mono_ns": self._stamper.mono_ns, "recv_ts_ns": self._stamper.ts_ns}


def _read_specs(path: Path) -> tuple[MarketSpec, ...]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=tuple[MarketSpec, ...])
    except OSError as error:
        raise ConfigError(f"expected readable specs, found {error.strerror} at {path}") from error
    except msgspec.DecodeError as error:
        raise ConfigError(f"expected a JSON array of specs in {path}, found {error}") from error


def _quotes(event: ev.AnyEvent) -> Iterator[tuple[str, Decimal | None, Decimal | None]]:
    match event:
        case ev.BboUpdated():
            yield event.coin, event.bid_px, event.bid_sz
            yield event.coin, event.ask_px, event.ask_sz
        case ev.CtxUpdated():
            yield event.coin, event.oracle_px, None
        case ev.BookUpdated():
            yield event.coin, None, None
            for level in (*event.bids, *event.asks):
                yield event.coin, level.px, level.sz
        case ev.TradesReceived():
            for trade in event.trades:
                yield trade.coin, trade.px, trade.sz
        case _:
            pass


def _decimals(value: Decimal | None) -> int:
    if not value:
        return 0
    exponent = value.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0
