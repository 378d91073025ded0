"""`hip3 bench`: a tiny run of every word gives its keys, notices a wrong order, and leaves nothing running.

No figure is compared with a bar here: the machine that runs the tests has others to serve.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Coroutine, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop
from children import ENVIRONMENT, HIP3, hip3
from trading_process import until

from streaming.sim.bench.child import ChildFailed, own_client, started
from streaming.sim.bench.field import Plan, bench_tick_to_order
from streaming.sim.bench.process import children_of
from streaming.sim.bench.tick_to_order import FLOOR, OURS, SIGNED_FLOOR, measure, result_of

PEERS = Path(__file__).resolve().parents[2] / ".cache" / "peers"


def bench(*words: str) -> dict[str, Any]:
    done = hip3("bench", *words, "--json", timeout_s=120)
    assert done.returncode == 0, done.stderr
    assert "hip3 bench:" in done.stderr
    return dict(json.loads(done.stdout))


def run(job: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(job)


def a_plan(stub: str, peers: Path | None = None) -> Plan:
    return Plan(
        count=4, market_count=2, rate_per_s=500, pause_s=0, answer_s=0.5, warm_up_count=2, peers=peers, stub=stub
    )


@pytest.fixture
def _nothing_left() -> Iterator[None]:
    before = set(children_of(os.getpid()))
    yield
    assert set(children_of(os.getpid())) == before


def test_sign_compares_with_the_curve_and_with_both_installs_of_the_sdk() -> None:
    result = bench("sign", "--count", "1", "--peers", str(PEERS))
    ratios = ("sign_over_ecdsa", "presigned_over_ecdsa", "sdk_coincurve_over_ours", "sdk_default_over_ours", "aa_ratio")
    assert all(result[name] > 0 for name in ratios)
    assert set(result["us"]) == {
        "ours_a",
        "ours_b",
        "ours_presigned",
        "presignature",
        "ecdsa",
        "sdk_coincurve",
        "sdk_default",
    }


def test_decode_compares_both_frames_with_untyped_decoders() -> None:
    result = bench("decode", "--count", "1")
    for kind in ("bbo", "ctx"):
        names = (f"{kind}_json_loads_over_ours", f"{kind}_msgspec_untyped_over_ours", f"{kind}_aa_ratio")
        assert all(result[name] > 0 for name in names)


def test_replay_decides_the_same_with_and_without_decoding() -> None:
    result = bench("replay", "--count", "3000", "--rounds", "1")
    assert result["event_count"] >= 3_000
    assert result["events_per_s"] > 0
    assert result["events_per_s_decoding"] > 0
    assert result["outputs"]["HealthSampled"] > 0


def test_ingest_reaches_the_sidecar_with_what_it_sends() -> None:
    result = bench("ingest", "--seconds", "1", "--rate", "500", "--markets", "3")
    assert result["core_share"] > 0
    assert result["frames_per_s_reached"] > 0
    assert {"projection_core_share", "loop_lag_p99_ms", "frames_per_s_sent"} <= set(result)


@pytest.mark.usefixtures("_nothing_left")
def test_every_tick_of_the_stub_and_of_the_sdk_is_paired_and_the_sdks_orders_are_signed() -> None:
    result = run(bench_tick_to_order(a_plan("stub", PEERS), lambda _: None))
    # The stub does the floor's work, so which of the two is faster in four ticks is the machine's mood: no assertion.
    assert [problem for problem in result["problems"] if "above the floor's" not in problem] == []
    assert set(result["n"].values()) == {4}
    assert [result[name] for name in ("wrong", "lost", "late", "unsigned")] == [0, 0, 0, 0]
    over_ours = ("sdk_coincurve_over_ours", "sdk_default_over_ours")
    over_signed = ("sdk_coincurve_over_floor_signed", "sdk_default_over_floor_signed", "sdk_default_over_floor")
    ratios = ("p50_over_floor", "p99_over_floor", *over_ours, *over_signed, "aa_ratio")
    assert all(result[name] > 0 for name in ratios)


def test_a_bot_that_is_faster_than_the_floor_speaks_against_the_harness() -> None:
    assert result_of([a_lane(FLOOR, [50.0]), a_lane(OURS[0], [60.0])])["problems"] == []
    [problem] = result_of([a_lane(FLOOR, [50.0]), a_lane(OURS[0], [40.0])])["problems"]
    assert "above the floor's" in problem
    told = result_of([a_lane(SIGNED_FLOOR, [60.0]), a_lane(OURS[0], [150.0]), a_lane("sdk_coincurve", [600.0])])
    assert (told["sdk_coincurve_over_ours"], told["sdk_coincurve_over_floor_signed"]) == (4.0, 10.0)


def a_lane(name: str, latencies_us: list[float], lost_count: int = 0) -> Any:  # noqa: ANN401 - as much as is read
    pairing = SimpleNamespace(
        latencies_us=latencies_us,
        counts=lambda: {"wrong": 0, "lost": lost_count, "late": 0},
        forget_samples=lambda: None,
    )
    return SimpleNamespace(name=name, pairing=pairing, unsigned_count=lambda: 0)


def test_more_than_one_tick_in_a_hundred_without_an_order_is_a_problem() -> None:
    assert result_of([a_lane(OURS[0], [60.0] * 200, lost_count=2)])["problems"] == []
    [problem] = result_of([a_lane(OURS[0], [60.0] * 200, lost_count=3)])["problems"]
    assert problem.startswith("ours_a: expected an order for every tick, found 3 without")


def test_turn_begins_when_all_would_trade_and_one_alone_is_awake_in_it() -> None:
    asleep, told = set[str](), list[tuple[str, str, frozenset[str]]]()

    def joined(name: str) -> Any:  # noqa: ANN401 - as much of a lane as is called
        async def ready() -> None:
            told.append(("ready", name, frozenset(asleep)))

        async def turn(tick_count: int, *, is_venue_alone: bool) -> None:
            assert (tick_count, is_venue_alone) == (1, True)
            told.append(("turn", name, frozenset(asleep)))

        lane = a_lane(name, [60.0])
        calls = {"ready": ready, "turn": turn, "rest": lambda: asleep.add(name), "wake": lambda: asleep.discard(name)}
        return SimpleNamespace(**vars(lane), **calls)

    lanes = [joined(name) for name in "abc"]
    ticks = {"count": 1, "warm_up_count": 1, "rate_per_s": 1e6, "is_venue_alone": True}
    asyncio.run(measure(lanes, **ticks, tell=lambda _: None))
    turns = [(name, others) for what, name, others in told if what == "turn"]
    assert sorted(turns) == sorted((name, frozenset("abc") - {name}) for name in "abc" for _ in range(2))
    assert [what for what, _, _ in told] == 2 * (3 * ["ready"] + 3 * ["turn"])
    assert all(others == frozenset() for what, _, others in told if what == "ready")
    assert asleep == set()


@pytest.mark.usefixtures("_nothing_left")
def test_orders_at_another_price_are_counted_wrong_and_are_no_samples() -> None:
    result = run(bench_tick_to_order(a_plan("wrong"), lambda _: None))
    assert result["n"]["ours_a"] == 2
    assert result["lanes"]["ours_a"]["wrong"] == result["lanes"]["ours_a"]["lost"] > 0
    assert any("answer its tick" in problem for problem in result["problems"])


@pytest.mark.usefixtures("_nothing_left")
def test_a_child_that_fails_is_told_with_its_last_words() -> None:
    with started("bot", own_client("no_such.py")) as child, pytest.raises(ChildFailed, match=r"bot: .*no_such\.py"):
        child.hear()


@pytest.mark.usefixtures("_nothing_left")
def test_a_child_that_rests_does_nothing_until_it_wakes_and_ends_all_the_same() -> None:
    program = "import sys\nfor line in sys.stdin: print(line, end='', flush=True)"
    with started("echo", [sys.executable, "-c", program]) as child:
        child.say("awake")
        assert child.hear() == b"awake\n"
        child.rest()
        assert os.waitid(os.P_PID, child.pid, os.WSTOPPED) is not None
        child.say("resting")
        child.wake()
        assert child.hear() == b"resting\n"
        child.rest()
    assert not child.is_running


def test_a_bench_that_is_killed_leaves_no_child_that_stands_still() -> None:
    program = """
import os, signal, sys
from streaming.sim.bench.child import started
with started("idle", [sys.executable, "-c", "import sys; sys.stdin.read()"]) as child:
    child.rest()
    os.waitid(os.P_PID, child.pid, os.WSTOPPED)
    print(child.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=False, timeout=30)
    assert killed.returncode == -signal.SIGKILL
    until(lambda: is_gone(int(killed.stdout)), what="until it is gone")


def is_gone(pid: int) -> bool:
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()  # its new parent has not looked yet
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_sigterm_ends_the_bench_and_everything_it_started() -> None:
    words = [*HIP3, "bench", "ingest", "--seconds", "60", "--rate", "10", "--markets", "1"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, env=ENVIRONMENT) as process:
        assert process.stderr is not None
        assert b"ready" in process.stderr.readline()
        sidecars = children_of(process.pid)
        started = [*sidecars, *(child for sidecar in sidecars for child in children_of(sidecar))]
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM
    assert sidecars
    assert not any(Path(f"/proc/{pid}").exists() for pid in started)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("sign", "--peers", "/nonexistent"), "make peers"),
        (("ingest", "--seconds", "0"), "--seconds"),
        (("tick-to-order", "--markets", "9999"), "--markets"),
    ],
)
def test_a_wrong_option_is_a_usage_error_that_says_what_to_do(words: tuple[str, ...], text: str) -> None:
    done = hip3("bench", *words)
    assert done.returncode == 2
    assert text in done.stderr
