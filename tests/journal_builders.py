"""Builders of journals: what the runtime does each turn, without a loop or a network."""

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import zstandard
from core_builders import (
    COIN,
    START_MONO_NS,
    START_TS_NS,
    a_bbo,
    a_ctx,
    a_session,
    a_spec,
    a_timer,
    events_until_ready,
    stamps,
    venue_ms,
    warm_events,
)

from streaming.core.effects import AnyOutput
from streaming.core.engine import encode_snapshot, new_state, step
from streaming.core.events import AnyEvent, SessionClosed, SpecsReceived, StopRequested
from streaming.core.limits import Limits
from streaming.core.market import MarketSpec
from streaming.core.recovery import Carried
from streaming.core.state import SessionInfo
from streaming.hyperliquid.decode import decode_frame
from streaming.shell.journal import format as fmt
from streaming.shell.journal.reader import read_segment
from streaming.shell.journal.writer import JournalWriter

NS_PER_MS = 1_000_000
LARGE = 1 << 30


class ManualClock:
    """A clock that only a test moves."""

    def __init__(self) -> None:
        self.at_ms = 0.0

    def mono_ns(self) -> int:
        return START_MONO_NS + round(self.at_ms * NS_PER_MS)

    def ts_ns(self) -> int:
        return START_TS_NS + round(self.at_ms * NS_PER_MS)


class Recorder:
    """One session: every input is stepped, recorded and committed as the runtime does it."""

    def __init__(
        self,
        root: Path,
        *,
        session: SessionInfo | None = None,
        specs: tuple[MarketSpec, ...] | None = None,
        carried: Carried | None = None,
        segment_bytes_max: int = LARGE,
        segment_age_s_max: float = 1e9,
    ) -> None:
        self.session = session or a_session()
        self.specs = specs or (a_spec(),)
        self.clock = ManualClock()
        self.state = new_state(self.session, Limits(), self.specs, carried=carried)
        self.journal = JournalWriter(
            root,
            self.session,
            segment_bytes_max=segment_bytes_max,
            segment_age_s_max=segment_age_s_max,
            clock=self.clock,
        )
        self.journal.open(encode_snapshot(self.state), '{"venue":"sim"}', self.specs)
        self.inputs: list[AnyEvent] = []
        self.outputs: list[list[AnyOutput]] = []

    def frame(self, raw: bytes, at_ms: float, generation: int = 1) -> list[AnyOutput]:
        event = decode_frame(raw, generation=generation, **stamps(at_ms))
        now = stamps(at_ms)
        self.journal.append_frame(self.state.seq + 1, generation, now["recv_mono_ns"], now["recv_ts_ns"], raw)
        return self._decide(event)

    def event(self, event: AnyEvent) -> list[AnyOutput]:
        self.journal.append_event(self.state.seq + 1, event)
        return self._decide(event)

    def events(self, *events: AnyEvent) -> None:
        for event in events:
            self.event(event)

    def roll(self) -> bool:
        return self.journal.roll_if_due(self.clock.mono_ns(), lambda: encode_snapshot(self.state))

    def close(self, at_ms: float = 20_000) -> None:
        self.event(SessionClosed(**stamps(at_ms), reason="test"))
        self.journal.close()

    def _decide(self, event: AnyEvent) -> list[AnyOutput]:
        outputs = step(self.state, event)
        self.journal.append_outputs(self.state.seq, outputs)
        self.journal.commit()
        self.inputs.append(event)
        self.outputs.append(outputs)
        return outputs


def bbo_frame(at_ms: float, bid_px: str = "99.98", ask_px: str = "100.02", *, coin: str = COIN) -> bytes:
    levels = [{"px": px, "sz": "50", "n": 1} for px in (bid_px, ask_px)]
    return json.dumps({"channel": "bbo", "data": {"coin": coin, "time": venue_ms(at_ms), "bbo": levels}}).encode()


def trades_frame(at_ms: float, *tids: int, coin: str = COIN) -> bytes:
    trades = [
        {"coin": coin, "side": "B", "px": "100.01", "sz": "0.5", "time": venue_ms(at_ms), "hash": "0x0", "tid": tid}
        for tid in tids
    ]
    return json.dumps({"channel": "trades", "data": trades}).encode()


def record_day(recorder: Recorder, *, roll_each: int = 0) -> None:
    """Record a session with a paper trade, a blocked signal, follow-ups, trades, a malformed frame and a latch.

    Args:
        recorder: The session.
        roll_each: Begin a new segment after so many inputs; 0 keeps one.
    """
    plan: list[AnyEvent | tuple[bytes, float]] = [
        SpecsReceived(**stamps(0), specs=recorder.specs),
        *events_until_ready(0),
        *warm_events(100),
        (trades_frame(3_150, 1, 2), 3_150),
        (bbo_frame(3_200, "99.56", "99.60"), 3_200),  # the ask is 40 bps below the oracle: a signal, taken on paper
        (trades_frame(3_450, 2, 3), 3_450),
        (b"{not json", 3_460),
        (bbo_frame(3_700, "99.98", "100.02"), 3_700),
        a_ctx(4_300),
        a_bbo(4_350, bid_px="99.97"),
        a_timer(4_700),
        a_ctx(5_300),
        a_timer(6_300),
        a_bbo(6_350, bid_px=None),
        a_bbo(8_950),
        a_ctx(8_960),
        a_timer(9_000),
        (bbo_frame(9_050, "99.30", "99.40"), 9_050),  # 60 bps, but mark and mid are too far apart: a blocked signal
        StopRequested(**stamps(9_100), command_id=1, reason="drill", operator="tester"),
    ]
    for count, item in enumerate(plan, 1):
        if isinstance(item, tuple):
            recorder.frame(*item)
        else:
            recorder.event(item)
        recorder.clock.at_ms = (recorder.inputs[-1].recv_mono_ns - START_MONO_NS) / NS_PER_MS
        if roll_each and count % roll_each == 0:
            recorder.journal._must_roll = True
            recorder.roll()


def edit_segment(path: Path, change: Callable[[fmt.OutputsRecord], list[AnyOutput]]) -> None:
    """Rewrite a segment with changed outputs and valid checksums, as a forger would."""
    raw = bytearray()
    for record in read_segment(path):
        match record:
            case fmt.SegmentHeader():
                fmt.append_header(raw, record)
            case fmt.FrameRecord():
                fmt.append_frame(raw, *msgspec.structs.astuple(record))
            case fmt.EventRecord():
                fmt.append_event(raw, record.seq, record.event)
            case fmt.OutputsRecord():
                fmt.append_outputs(raw, record.seq, change(record))
            case _:
                raise AssertionError(record)
    path.write_bytes(zstandard.compress(bytes(raw)) if path.suffix == ".zst" else raw)
