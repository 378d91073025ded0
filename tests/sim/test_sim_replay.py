import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import numpy as np
import pytest
from core_builders import COIN, START_TS_NS, a_poll, a_session, a_spec, a_status, stamps
from journal_builders import Recorder, bbo_frame

from streaming.contracts.paths import journal_folder
from streaming.core.errors import ConfigError, StoreError
from streaming.core.events import SpecsReceived
from streaming.shell.info.registry import load_registry
from streaming.shell.info.rest import InfoClient
from streaming.sim.markets.generator import HOUR_MS, NONE, MarketHour
from streaming.sim.replay.recording import Recording, read_recording
from streaming.sim.replay.source import ReplaySource
from streaming.sim.venue.faults.faults import VenueFaults
from streaming.sim.venue.server import GREETING, VenueServer

START_MS = START_TS_NS // 1_000_000
BEGIN_MS = 500_000 * HOUR_MS + 1_800_000
OTHER = "xyz:TSLA"
SPECS = (a_spec(), a_spec(OTHER, asset_id=110_005, leverage_max=20, margin_mode="cross", is_growth_mode=False))


def ctx_frame(oracle_px: str = "100.5", *, coin: str = COIN, mid_px: str | None = "100.01") -> bytes:
    ctx = {
        "funding": "0.0000125",
        "openInterest": "1234.5",
        "prevDayPx": "99.0",
        "dayNtlVlm": "1000000.5",
        "premium": None if mid_px is None else "0.0003",
        "oraclePx": oracle_px,
        "markPx": "100.4",
        "midPx": mid_px,
        "impactPxs": None if mid_px is None else ["99.9", "100.1"],
        "dayBaseVlm": "10000.0",
    }
    return json.dumps({"channel": "activeAssetCtx", "data": {"coin": coin, "ctx": ctx}}).encode()


def book_frame(at_ms: float) -> bytes:
    levels = [[{"px": f"{100 - i * 0.02:.2f}", "sz": "10", "n": 1} for i in range(1, 11)] for _ in range(2)]
    levels[1] = [{"px": f"{100 + i * 0.02:.2f}", "sz": "10", "n": 1} for i in range(1, 11)]
    data = {"coin": COIN, "time": START_MS + int(at_ms), "levels": levels}
    return json.dumps({"channel": "l2Book", "data": data}).encode()


def trades_frame(*tids: int) -> bytes:
    trades = [
        {"coin": COIN, "side": "B", "px": "100.01", "sz": "0.5", "time": START_MS + tid, "hash": "0x0", "tid": tid}
        for tid in tids
    ]
    return json.dumps({"channel": "trades", "data": trades}).encode()


def recorded(root: Path) -> Path:
    """Record eight seconds of two markets: prices that say when they were received."""
    recorder = Recorder(root, session=a_session(session_id="s1"), specs=SPECS)
    for second in range(8):
        at_ms = second * 1_000
        recorder.frame(ctx_frame(f"{100 + second}.5"), at_ms)
        recorder.frame(ctx_frame(coin=OTHER, mid_px=None), at_ms + 10)
        recorder.frame(bbo_frame(at_ms, f"{100 + second}.0", f"{100 + second}.1"), at_ms + 50)
        recorder.frame(trades_frame(second, second + 1), at_ms + 60)
    recorder.frame(b'{"channel":"bbo","data":{"coin":"xyz:NVDA","time":1790000008000,"bbo":[null,null]}}', 8_000)
    recorder.frame(book_frame(8_100), 8_100)
    recorder.close(9_000)
    return journal_folder(root, "sim", "s1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return recorded(tmp_path)


def source_of(folder: Path, *, speed: float = 1.0) -> ReplaySource:
    return ReplaySource(read_recording(folder), seed=7, begin_ms=BEGIN_MS, speed=speed)


def hour_of(source: ReplaySource, coin: str = COIN, after: int = 0) -> MarketHour:
    return source.hour(coin, BEGIN_MS // HOUR_MS + after)


@pytest.mark.parametrize("speed", [1.0, 4.0, 0.5])
def test_rows_play_at_their_recorded_spacing_over_speed(folder: Path, speed: float) -> None:
    hour = hour_of(source_of(folder, speed=speed), COIN)
    assert (hour.ctx_ts_ms - BEGIN_MS).tolist() == [int(second * 1_000 / speed) for second in range(8)]
    expected = [int((second * 1_000 + 50) / speed) for second in range(8)] + [int(8_000 / speed)]
    assert (hour.bbo_ts_ms - BEGIN_MS).tolist() == expected


def test_values_are_the_recorded_ones_in_scaled_integers(folder: Path) -> None:
    hour = hour_of(source_of(folder))
    assert hour.bid_px.tolist() == [(100 + s) * 1_000 for s in range(8)] + [NONE]
    assert hour.ask_px.tolist() == [(100 + s) * 1_000 + 100 for s in range(8)] + [NONE]
    assert hour.ask_sz.tolist() == [50_000] * 8 + [NONE]
    assert hour.oracle_px.tolist() == [(100 + s) * 1_000 + 500 for s in range(8)]
    assert set(hour.mid2_px.tolist()) == {200_020}
    assert set(hour.funding_e10.tolist()) == {125_000}
    assert set(hour.open_interest_sz.tolist()) == {1_234_500}
    other = hour_of(source_of(folder), OTHER)
    assert set(other.mid2_px.tolist()) == set(other.premium_e10.tolist()) == {NONE}
    assert other.bid_px.tolist() == [NONE]


def test_trades_are_told_once_although_recorded_twice(folder: Path) -> None:
    assert hour_of(source_of(folder)).trade_tid.tolist() == list(range(9))


def test_before_and_after_the_recording_the_market_stands_still(folder: Path) -> None:
    source = source_of(folder)
    before, after = hour_of(source, after=-1), hour_of(source, after=30)
    assert (before.oracle_px.tolist(), before.bid_px.tolist()) == ([100_500], [100_000])
    assert (after.oracle_px.tolist(), after.bid_px.tolist()) == ([107_500], [NONE])
    assert after.ctx_ts_ms.tolist() == [(BEGIN_MS // HOUR_MS + 30) * HOUR_MS]
    assert after.trade_ts_ms.size == 0
    with pytest.raises(LookupError):
        hour_of(source, after=-2)


def test_asset_ids_are_the_recorded_ones_with_stand_ins_between(folder: Path) -> None:
    source = source_of(folder)
    universe = source.scenario.universe
    assert universe.asset_ids[COIN] == 110_002
    assert universe.asset_ids[OTHER] == 110_005
    stand_ins = [market.coin for market in universe.markets if market.coin not in {COIN, OTHER}]
    assert len(stand_ins) == len(set(stand_ins)) == 4
    assert all(source.listed(coin, BEGIN_MS).is_delisted for coin in stand_ins)
    assert all(source.hour(coin, BEGIN_MS // HOUR_MS).bid_px.tolist() == [NONE] for coin in stand_ins)


def test_facts_of_a_market_are_those_of_its_spec_and_rows(folder: Path) -> None:
    source = source_of(folder)
    market = source.scenario.universe.by_coin[COIN]
    assert (market.sz_decimals, market.leverage_max, market.margin_mode) == (3, 10, "strictIsolated")
    assert market.is_growth_mode
    assert market.px == pytest.approx(104.0)
    assert market.touch_usd == pytest.approx(50 * 104.0)
    assert 4_900 < market.depth_usd < 5_100  # five levels of ten within 10 bps
    assert not source.scenario.universe.by_coin[OTHER].is_growth_mode
    assert not source.is_pulled(COIN, BEGIN_MS, 1)


def test_halts_caps_and_parameters_come_when_the_polls_saw_them(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, specs=SPECS)
    recorder.frame(ctx_frame(), 0)
    recorder.event(a_poll(1_000, a_status(), a_status(OTHER)))
    recorder.event(a_poll(2_000, a_status(is_halted=True, is_at_oi_cap=True), a_status(OTHER)))
    changed = a_spec(leverage_max=5, sz_decimals=2)
    recorder.event(SpecsReceived(**stamps(3_000), specs=(changed,)))
    recorder.frame(ctx_frame(), 4_000)
    recorder.close(5_000)
    source = ReplaySource(read_recording(journal_folder(tmp_path, "sim", "s1")), seed=7, begin_ms=BEGIN_MS, speed=2.0)
    seen = {
        after_ms: (listed.is_halted, listed.is_at_oi_cap, listed.market.leverage_max, listed.market.sz_decimals)
        for after_ms in (0, 999, 1_000, 1_500)
        for listed in [source.listed(COIN, BEGIN_MS + after_ms)]
    }
    assert seen == {
        0: (False, False, 10, 3),
        999: (False, False, 10, 3),
        1_000: (True, True, 10, 3),
        1_500: (True, True, 5, 3),
    }
    times = [change.ts_ms - BEGIN_MS for change in source.changes(COIN, BEGIN_MS, BEGIN_MS + HOUR_MS)]
    assert times == [500, 1_000, 1_500]
    assert source.changes(COIN, BEGIN_MS + 1_500, BEGIN_MS + 1_501) != ()


def test_market_without_contexts_is_not_shown(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, specs=SPECS)
    recorder.frame(ctx_frame(), 0)
    recorder.frame(bbo_frame(10, coin=OTHER), 10)
    recorder.close(20)
    recording = read_recording(journal_folder(tmp_path, "sim", "s1"))
    assert recording.markets == (COIN,)


def test_folders_that_hold_no_session_say_what_they_hold(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"--replay: expected the journal folder of a session, found none at"):
        read_recording(tmp_path / "nothing")
    with pytest.raises(ConfigError, match=r"found none in .*venue=sim; it holds s1"):
        read_recording(folder.parent)
    empty = Recorder(tmp_path / "empty", specs=SPECS)
    empty.close(10)
    with pytest.raises(ConfigError, match=r"expected recorded contexts"):
        read_recording(journal_folder(tmp_path / "empty", "sim", "s1"))


def test_damaged_journal_is_refused(folder: Path) -> None:
    [segment] = list(folder.iterdir())
    raw = bytearray(segment.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    segment.write_bytes(raw)
    with pytest.raises(StoreError, match=r"crc|damaged|length|decompress|checksum"):
        read_recording(folder)


def play(recording: Recording, *, speed: float) -> list[dict[str, object]]:
    """Serve a recording from its beginning and return what a client of NVDA gets in two seconds of its clock."""

    async def main() -> list[dict[str, object]]:
        loop = asyncio.get_running_loop()
        start_s = loop.time()

        def clock() -> int:
            return BEGIN_MS + round((loop.time() - start_s) * 1_000)

        source = ReplaySource(recording, seed=7, begin_ms=BEGIN_MS + 400, speed=speed)
        server = VenueServer(source, now_ms=clock, hooks=VenueFaults(source.scenario, clock))
        frames: list[dict[str, object]] = []
        async with server.serving(0) as port, aiohttp.ClientSession() as http, asyncio.timeout(20):
            async with http.ws_connect(f"http://127.0.0.1:{port}/ws") as socket:
                assert (await socket.receive()).data == GREETING
                for channel in ("bbo", "activeAssetCtx"):
                    await socket.send_json({"method": "subscribe", "subscription": {"type": channel, "coin": COIN}})
                while clock() < BEGIN_MS + 400 + 8_000 / speed + 300:
                    try:
                        async with asyncio.timeout(0.3):
                            frames.append((await socket.receive()).json())
                    except TimeoutError:
                        continue
            plan = await load_registry(InfoClient(f"http://127.0.0.1:{port}", session=http), ("xyz",), None)
            assert plan.refusals == ()
            recorded_specs = {spec.coin: spec for spec in SPECS}
            for spec in plan.specs:
                if spec.coin in recorded_specs:
                    same = recorded_specs[spec.coin]
                    assert (spec.asset_id, spec.sz_decimals, spec.leverage_max, spec.margin_mode) == (
                        same.asset_id, same.sz_decimals, same.leverage_max, same.margin_mode
                    )  # fmt: skip
            assert {spec.coin for spec in plan.specs} == set(recorded_specs)
        return frames

    return asyncio.run(main())


def test_client_sees_the_recorded_frames_in_their_order(folder: Path) -> None:
    frames = play(read_recording(folder), speed=8.0)
    told: list[tuple[str, object]] = []
    for frame in frames:
        match frame:
            case {"channel": "bbo", "data": {"bbo": [bid, _]}}:
                told.append(("bid", bid and bid["px"]))
            case {"channel": "activeAssetCtx", "data": {"ctx": {"oraclePx": px}}}:
                told.append(("oracle", px))
    snapshots, played = told[:2], told[2:]
    assert snapshots == [("bid", "100.0"), ("oracle", "100.5")]
    expected = [pair for s in range(8) for pair in (("oracle", f"{100 + s}.5"), ("bid", f"{100 + s}.0"))]
    assert sorted(played, key=str) == sorted([*expected, ("bid", None)], key=str)
    for name in ("oracle", "bid"):
        assert [px for what, px in played if what == name] == [
            px for what, px in [*expected, ("bid", None)] if what == name
        ]


def test_command_serves_a_recording_and_ends_cleanly(folder: Path) -> None:
    command = [sys.executable, "-m", "streaming.cli", "venue", "--port", "0", "--json", "--speed", "2", "--replay"]
    with subprocess.Popen(
        [*command, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            facts = json.loads(process.stdout.readline())
            assert (facts["session"], facts["market_count"]) == ("s1", 2)
            assert "speed 2, 4 s to play" in facts["what"]
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=30)
            assert (process.returncode, errors) == (0, "")
        finally:
            process.kill()


def test_columns_of_an_hour_have_one_length(folder: Path) -> None:
    hour = hour_of(source_of(folder))
    for first, names in (
        ("bbo_ts_ms", ("bid_px", "ask_sz")),
        ("ctx_ts_ms", ("oracle_px", "volume_e6", "impact_bid_px")),
        ("trade_ts_ms", ("trade_px", "trade_sz", "trade_is_buy", "trade_tid")),
    ):
        times = getattr(hour, first)
        assert times.dtype == np.int64
        assert all(getattr(hour, name).size == times.size for name in names)
