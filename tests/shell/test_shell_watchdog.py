"""The watchdog: flattens a real account on the simulated venue when the sidecar is dead, and only then (I-17, I-18)."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import msgspec
import pytest
from children import ENVIRONMENT, hip3
from ports import free_ports
from sim_requests import Wallet, order_action, order_item
from venue_bench import GENERATOR

from streaming.core.errors import NotSent, OutcomeUnknown, StoreError
from streaming.core.trading.cloids import is_watchdog_cloid
from streaming.core.trading.model import VenuePosition
from streaming.core.units import NS_PER_MS, NS_PER_S
from streaming.hyperliquid.signing import Signer
from streaming.shell.clock import SystemClock
from streaming.shell.execution.exchange_client import ExchangeClient
from streaming.shell.execution.heartbeat import Heartbeat, boot_id, heartbeat_path, read_heartbeat
from streaming.shell.execution.nonce_mark import NonceMark
from streaming.shell.info.rest import InfoClient
from streaming.shell.process.fault_note import FaultNote
from streaming.shell.process.lock import InstanceLock, LeaseKind, holder_of, tag_of
from streaming.shell.watchdog.flatten import Exposure, Flattener
from streaming.shell.watchdog.guard import FLAT_READ_COUNT, NOTE, PAUSES_S, Guard, Line
from streaming.shell.watchdog.text import text_line
from streaming.shell.watchdog.watch import LOOK_MS, SEEN_SILENT_NS_MIN, Verdict, Watch
from streaming.sim.venue.server import VenueServer, system_now_ms

Json = Any
NVDA, NVDA_ASSET = "xyz:NVDA", 110_002
TSLA, TSLA_ASSET = "xyz:TSLA", 110_001
MASTER = Wallet(21)
TAG = tag_of("sim", MASTER.address)
STALE_S = 15
BEGIN_NS = 10_000 * NS_PER_S


class HandClock:
    """The test moves the clock of ages; nonces and deadlines need the venue's own time."""

    def __init__(self) -> None:
        self.now_ns = BEGIN_NS

    def mono_ns(self) -> int:
        return self.now_ns

    def ts_ns(self) -> int:
        return SystemClock().ts_ns()


class FakeFlattener:
    """An account in the test's hand."""

    def __init__(self) -> None:
        self.exposure = Exposure(positions=(), orders=())
        self.attempts: list[int] = []
        self.read_count = 0
        self.failure: Exception | None = None
        self.on_read: Callable[[], None] = lambda: None

    async def read(self, exit_only_coins: tuple[str, ...] = ()) -> Exposure:
        assert exit_only_coins == ()
        self.read_count += 1
        self.on_read()
        if self.failure is not None:
            raise self.failure
        return self.exposure

    async def reduce(self, exposure: Exposure, attempt: int) -> tuple[str, ...]:
        assert exposure is self.exposure
        self.attempts.append(attempt)
        return ("filled",)


class Bench:
    """A guard whose clock, heartbeat and account belong to the test."""

    def __init__(self, root: Path, flattener: object | None = None, *, clock: HandClock | None = None) -> None:
        (root / "control").mkdir(exist_ok=True)
        self.root = root
        self.clock = clock or HandClock()
        self.account = FakeFlattener()
        self.lines: list[Line] = []
        self.note = FaultNote(root, TAG)
        self.heart: Heartbeat | None = None
        self.guard = Guard(
            watch=Watch(stale_s=STALE_S, boot_id=boot_id()),
            read_beat=lambda: read_heartbeat(root, TAG),
            flattener=flattener or self.account,  # type: ignore[arg-type]
            note=self.note,
            clock=self.clock,
            say=self.lines.append,
        )

    def start_sidecar(self, *exit_only: str) -> None:
        self.heart = Heartbeat(self.root, TAG, session_id="s", mono_ns=self.clock.now_ns, exit_only_coins=exit_only)

    async def run(self, length_s: float, *, is_beating: bool = False) -> None:
        """Let time pass look by look."""
        for number in range(round(length_s * 1000 / LOOK_MS)):
            self.clock.now_ns += LOOK_MS * NS_PER_MS
            if is_beating and self.heart is not None:
                self.heart.beat(self.clock.now_ns, number)
            await self.guard.step()

    def events(self) -> list[str]:
        return [line.event for line in self.lines]

    def verdicts(self) -> list[Verdict]:
        return [line.heartbeat for line in self.lines if line.event == "heartbeat_changed"]


def with_bench(tmp_path: Path, test: Callable[[Bench], Awaitable[None]]) -> Bench:
    bench = Bench(tmp_path)
    asyncio.run(test(bench))  # type: ignore[arg-type]
    return bench


LONG = Exposure(
    positions=(
        VenuePosition(
            coin=NVDA, sz=Decimal("0.5"), entry_px=None, unrealised_pnl=Decimal(0), margin_used=Decimal(0),
            liquidation_px=None, leverage=1, is_isolated=False,
        ),
    ),
    orders=(),
)  # fmt: skip


# --- when it acts


def test_watchdog_living_sidecar_is_left_alone_and_the_venue_is_not_asked(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.account.exposure = LONG
        bench.start_sidecar()
        await bench.run(120, is_beating=True)

    bench = with_bench(tmp_path, test)
    assert bench.account.read_count == 0
    assert bench.verdicts() == [Verdict.FRESH]
    assert bench.note.reason() == ""


def test_watchdog_acts_once_the_silence_is_longer_than_allowed_and_not_before(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.account.exposure = LONG
        bench.start_sidecar()
        await bench.run(STALE_S)
        assert bench.account.read_count == 0
        await bench.run(LOOK_MS / 1000)
        assert bench.account.attempts == [0]

    bench = with_bench(tmp_path, test)
    assert bench.verdicts() == [Verdict.FRESH, Verdict.STALE]
    assert bench.note.reason() == NOTE


@pytest.mark.parametrize("is_ended", [True, False])
def test_watchdog_no_heartbeat_or_one_that_was_ended_is_only_reported(tmp_path: Path, is_ended: bool) -> None:
    async def test(bench: Bench) -> None:
        bench.account.exposure = LONG
        if is_ended:
            bench.start_sidecar()
            assert bench.heart is not None
            bench.heart.end()
        await bench.run(120)

    bench = with_bench(tmp_path, test)
    assert bench.account.read_count == 0
    assert bench.verdicts() == [Verdict.ENDED if is_ended else Verdict.ABSENT]


def test_watchdog_suspended_machine_is_no_dead_sidecar(tmp_path: Path) -> None:
    # F-63: every stamp is old after a resume
    async def test(bench: Bench) -> None:
        bench.account.exposure = LONG
        bench.start_sidecar()
        await bench.run(5, is_beating=True)
        bench.clock.now_ns += 600 * NS_PER_S
        await bench.run(1.5)
        assert bench.guard.verdict is Verdict.SILENT
        await bench.run(60, is_beating=True)

    bench = with_bench(tmp_path, test)
    assert bench.account.read_count == 0
    assert bench.verdicts() == [Verdict.FRESH, Verdict.SILENT, Verdict.FRESH]


def test_watchdog_heartbeat_of_another_boot_is_stale_after_a_moment(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.account.exposure = LONG
        bench.start_sidecar()
        path = heartbeat_path(tmp_path, TAG)
        raw = bytearray(path.read_bytes())
        raw[8:24] = bytes(16)
        path.write_bytes(raw)
        await bench.run(SEEN_SILENT_NS_MIN / NS_PER_S)
        assert bench.account.read_count == 0
        await bench.run(LOOK_MS / 1000)
        assert bench.account.attempts == [0]

    bench = with_bench(tmp_path, test)
    assert all(line.age_ms is None for line in bench.lines)


def test_watchdog_unreadable_heartbeat_counts_as_silence(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.account.exposure = LONG
        bench.start_sidecar()
        await bench.run(1, is_beating=True)
        heartbeat_path(tmp_path, TAG).write_bytes(b"")
        await bench.run(STALE_S + 1)
        assert bench.account.attempts

    bench = with_bench(tmp_path, test)
    assert "restart the sidecar" in bench.lines[1].detail


# --- how it goes on, and stops


def test_watchdog_goes_on_until_two_reads_are_flat_then_only_watches(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.account.exposure = LONG
        bench.start_sidecar()
        await bench.run(STALE_S + 5)
        assert bench.account.attempts == [0, 1, 2, 3], "after 1, 1 and 2 s more, each with more slippage"
        bench.account.exposure = Exposure(positions=(), orders=())
        await bench.run(30)
        read_count = bench.account.read_count
        assert read_count == 4 + FLAT_READ_COUNT
        bench.account.exposure = LONG  # a person, by hand
        await bench.run(60)
        assert bench.account.read_count == read_count

    bench = with_bench(tmp_path, test)
    assert bench.events() == ["heartbeat_changed", "heartbeat_changed", *["reduced"] * 4, "flat"]


def test_watchdog_flat_read_that_is_not_confirmed_is_not_flat(tmp_path: Path) -> None:
    # F-45
    async def test(bench: Bench) -> None:
        bench.account.exposure = LONG
        bench.start_sidecar()

        def flap() -> None:
            bench.account.exposure = LONG if bench.account.read_count % 2 else Exposure(positions=(), orders=())

        bench.account.on_read = flap
        await bench.run(STALE_S + 20)

    bench = with_bench(tmp_path, test)
    assert "flat" not in bench.events()
    assert bench.account.attempts[:2] == [0, 1]


def test_watchdog_stands_down_when_the_sidecar_is_back_even_between_read_and_send(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.account.exposure = LONG
        bench.start_sidecar()
        bench.account.on_read = bench.start_sidecar  # it restarts while we ask the venue
        await bench.run(STALE_S + 1)
        assert bench.account.read_count == 1

    bench = with_bench(tmp_path, test)
    assert bench.account.attempts == []
    assert bench.note.reason() == ""
    assert bench.verdicts() == [Verdict.FRESH, Verdict.STALE, Verdict.FRESH]


def test_watchdog_second_death_is_handled_like_the_first(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.start_sidecar()
        await bench.run(STALE_S + 10)
        assert bench.events()[-1] == "flat"
        bench.start_sidecar()
        await bench.run(5, is_beating=True)
        bench.account.exposure = LONG
        await bench.run(STALE_S + 1)
        assert bench.account.attempts == [0]

    with_bench(tmp_path, test)


def test_watchdog_flat_account_leaves_no_note(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.start_sidecar()
        await bench.run(STALE_S + 10)

    bench = with_bench(tmp_path, test)
    assert bench.note.reason() == ""


def test_watchdog_keeps_the_first_reason_of_a_note(tmp_path: Path) -> None:
    # I-17
    async def test(bench: Bench) -> None:
        bench.note.write("fault: StoreError")
        bench.account.exposure = LONG
        bench.start_sidecar()
        await bench.run(STALE_S + 1)

    assert with_bench(tmp_path, test).note.reason() == "fault: StoreError"


def test_watchdog_venue_that_is_down_is_asked_for_ever_with_longer_pauses(tmp_path: Path) -> None:
    # F-50
    async def test(bench: Bench) -> None:
        bench.account.failure = NotSent("connection refused")
        bench.start_sidecar()
        asked_s: list[float] = []
        bench.account.on_read = lambda: asked_s.append((bench.clock.now_ns - BEGIN_NS) / NS_PER_S)
        await bench.run(STALE_S + 60)
        pauses = [later - sooner for sooner, later in pairwise(asked_s)]
        assert pauses[: len(PAUSES_S)] == list(PAUSES_S)
        assert set(pauses[len(PAUSES_S) :]) == {PAUSES_S[-1]}
        bench.account.failure, bench.account.exposure = None, LONG
        await bench.run(10)
        assert bench.account.attempts[0] == 0, "and the first order is as careful as ever"

    bench = with_bench(tmp_path, test)
    assert any("connection refused" in line.detail for line in bench.lines if line.event == "venue_failed")


def test_watchdog_nonce_mark_that_can_not_be_kept_is_no_venue_failure(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.account.failure = StoreError("disk")
        bench.start_sidecar()
        with pytest.raises(StoreError):
            await bench.run(STALE_S + 1)

    with_bench(tmp_path, test)


# --- on the simulated venue


class Sim:
    """The venue, an account with an agent of the sidecar's and one of the watchdog's."""

    def __init__(self, server: VenueServer, http: aiohttp.ClientSession, port: int) -> None:
        self.server, self.http, self.port = server, http, port
        self.base = f"http://127.0.0.1:{port}"
        self.sidecar, self.watchdog = Wallet(22), Wallet(23)

    async def post(self, path: str, body: object) -> Json:
        async with self.http.post(self.base + path, json=body) as response:
            return json.loads(await response.text())

    async def act(self, wallet: Wallet, action: Json) -> Json:
        answer = await self.post("/exchange", wallet.sign(action, nonce=max(system_now_ms(), wallet.next_nonce())))
        assert answer["status"] == "ok", answer
        return answer["response"]["data"]["statuses"]

    async def approve(self) -> None:
        for agent, name in ((self.sidecar, "sidecar"), (self.watchdog, "watchdog")):
            nonce = max(system_now_ms(), MASTER.next_nonce())
            action = {
                "type": "approveAgent", "signatureChainId": "0x66eee", "hyperliquidChain": "Testnet",
                "agentAddress": agent.address, "agentName": name, "nonce": nonce,
            }  # fmt: skip
            answer = await self.post("/exchange", MASTER.sign_user(action, nonce))
            assert answer["status"] == "ok", answer

    async def open_positions(self) -> None:
        """Long NVDA, short another, one resting order: what a sidecar may leave."""
        px = {coin: Decimal(text) for coin, text in (await self.post("/info", MIDS)).items()}
        await self.trade(NVDA_ASSET, is_buy=True, px=px[NVDA] * Decimal("1.05"), sz="0.5")
        await self.trade(TSLA_ASSET, is_buy=False, px=px[TSLA] * Decimal("0.95"), sz="0.3")
        await self.trade(NVDA_ASSET, is_buy=True, px=px[NVDA] * Decimal("0.8"), sz="0.7", tif="Gtc")
        assert self.held() == {NVDA: Decimal("0.5"), TSLA: Decimal("-0.3")}
        assert len(await self.resting()) == 1

    async def trade(self, asset: int, *, is_buy: bool, px: Decimal, sz: str, tif: str = "Ioc") -> None:
        order = order_item(is_buy, str(px.quantize(Decimal("0.1"))), sz, tif=tif, asset=asset)
        (status,) = await self.act(self.sidecar, order_action(order))
        assert "error" not in status, status

    def held(self) -> dict[str, Decimal]:
        account = self.server.venue.exchange.accounts.of(MASTER.address)
        return {coin: account.szi(coin) for coin in (NVDA, TSLA) if account.szi(coin)}

    async def resting(self) -> Json:
        return await self.post("/info", {"type": "openOrders", "user": MASTER.address, "dex": "xyz"})

    async def fills(self) -> Json:
        return await self.post("/info", {"type": "userFills", "user": MASTER.address})


MIDS = {"type": "allMids", "dex": "xyz"}


def with_sim(test: Callable[[Sim], Awaitable[None]]) -> None:
    async def main() -> None:
        server = VenueServer(GENERATOR)
        async with server.serving(0) as port, aiohttp.ClientSession() as http, asyncio.timeout(60):
            sim = Sim(server, http, port)
            await sim.approve()
            await test(sim)

    asyncio.run(main())


def flattener(sim: Sim, mark: NonceMark, clock: HandClock, dexes: tuple[str, ...] = ("xyz",)) -> Flattener:
    info = InfoClient(sim.base, session=sim.http, clock=clock)
    return Flattener(
        info=info,
        exchange=ExchangeClient(sim.base, session=sim.http, clock=clock, weights=info.weights),
        signer=Signer(sim.watchdog.key, is_mainnet=False),
        mark=mark,
        account=MASTER.address,
        dexes=dexes,
        clock=clock,
        slippage_bps_max=Decimal(300),
    )


def test_watchdog_flattens_a_dead_sidecars_account_reduce_only(tmp_path: Path) -> None:
    async def test(sim: Sim) -> None:
        await sim.open_positions()
        clock = HandClock()
        with NonceMark(tmp_path, sim.watchdog.address, program="watchdog", clock=clock) as mark:
            bench = Bench(tmp_path, flattener(sim, mark, clock), clock=clock)
            bench.start_sidecar()
            await bench.run(STALE_S, is_beating=True)
            assert len(sim.held()) == 2, "nothing happens to a living sidecar"
            await bench.run(STALE_S + 20)
        assert sim.held() == {}
        assert await sim.resting() == []
        assert bench.events()[-1] == "flat"
        assert bench.note.reason() == NOTE
        ours = [fill for fill in await sim.fills() if is_watchdog_cloid(fill.get("cloid") or "")]
        assert {fill["dir"] for fill in ours} == {"Close Long", "Close Short"}
        assert {(fill["coin"], fill["startPosition"]) for fill in ours} >= {(NVDA, "0.5"), (TSLA, "-0.3")}
        state = await sim.post("/info", {"type": "clearinghouseState", "user": MASTER.address, "dex": "xyz"})
        assert state["assetPositions"] == []
        assert state["marginSummary"]["totalNtlPos"] == "0.0"
        reduced = next(line for line in bench.lines if line.event == "reduced")
        assert reduced.positions == (f"{NVDA} 0.5", f"{TSLA} -0.3")
        assert reduced.open_order_count == 1
        assert "cancel success" in reduced.detail

    with_sim(test)


def test_watchdog_closes_what_the_sidecar_was_leaving_on_a_dex_that_is_configured_no_more(tmp_path: Path) -> None:
    """F-92: its own configuration names the dex no more either. What else is open there is somebody else's."""

    async def test(sim: Sim) -> None:
        await sim.open_positions()
        clock = HandClock()
        with NonceMark(tmp_path, sim.watchdog.address, program="watchdog", clock=clock) as mark:
            bench = Bench(tmp_path, flattener(sim, mark, clock, dexes=("",)), clock=clock)
            bench.start_sidecar(NVDA)
            await bench.run(STALE_S + 20)
        assert sim.held() == {TSLA: Decimal("-0.3")}
        assert await sim.resting() == [], "the only one rested in the market that was left"
        assert bench.events()[-1] == "flat"

    with_sim(test)


def test_watchdog_dex_that_does_not_answer_holds_back_no_other(tmp_path: Path) -> None:
    async def test(sim: Sim) -> None:
        await sim.open_positions()
        clock = HandClock()
        with NonceMark(tmp_path, sim.watchdog.address, program="watchdog", clock=clock) as mark:
            bench = Bench(tmp_path, flattener(sim, mark, clock, dexes=("nowhere", "xyz")), clock=clock)
            bench.start_sidecar()
            await bench.run(STALE_S + 30)
        assert (sim.held(), await sim.resting()) == ({}, [])
        assert "flat" not in bench.events(), "nobody knows what is open on the dex that did not answer"
        failed = [line.detail for line in bench.lines if line.event == "venue_failed"]
        assert failed
        assert all("dex 'nowhere'" in text for text in failed)
        assert bench.events().count("reduced") == 1, "nothing is left where somebody answers"

    with_sim(test)


@contextmanager
def a_hand(folder: Path, sim: Sim) -> Iterator[Flattener]:
    clock = HandClock()
    with NonceMark(folder, sim.watchdog.address, program="watchdog", clock=clock) as mark:
        yield flattener(sim, mark, clock)


class NoWay:
    """The way to the venue, which treats what names any of `words` its own way."""

    def __init__(self, real: ExchangeClient, *words: str, answer: bytes = b"") -> None:
        self.real = real
        self.words = [word.encode() for word in words]
        self.answer = answer

    async def post(self, body: bytes, *, item_count: int) -> Any:  # noqa: ANN401 - as the real one
        if not any(word in body for word in self.words):
            return await self.real.post(body, item_count=item_count)
        if not self.answer:
            raise OutcomeUnknown("no answer within 5 s")
        return SimpleNamespace(status=200, body=self.answer)


def test_watchdog_market_that_can_not_be_closed_holds_back_no_other(tmp_path: Path) -> None:
    """F-23: one error answers a whole batch, so two closes in one action would both fail for ever."""

    async def test(sim: Sim) -> None:
        await sim.open_positions()
        halted = b'{"status":"err","response":"Trading is halted."}'
        with a_hand(tmp_path, sim) as hand:
            hand._exchange = NoWay(hand._exchange, f'"a":{NVDA_ASSET},"b"', answer=halted)  # type: ignore[assignment]
            said = await hand.reduce(await hand.read(), 0)
        assert sim.held() == {NVDA: Decimal("0.5")}
        assert any("Trading is halted" in text for text in said)

    with_sim(test)


@pytest.mark.parametrize("silent", ["cancel", f'"a":{NVDA_ASSET},"b"'])
def test_watchdog_action_without_an_answer_holds_back_no_other(tmp_path: Path, silent: str) -> None:
    """The next round would come a second later; what could be closed now is closed now."""

    async def test(sim: Sim) -> None:
        await sim.open_positions()
        with a_hand(tmp_path, sim) as hand:
            hand._exchange = NoWay(hand._exchange, silent)  # type: ignore[assignment]  # as much of it as is used
            said = await hand.reduce(await hand.read(), 0)
        assert TSLA not in sim.held()
        assert "no answer: no answer within 5 s" in said

    with_sim(test)


def test_watchdog_round_in_which_nobody_answers_has_failed(tmp_path: Path) -> None:
    async def test(sim: Sim) -> None:
        await sim.open_positions()
        with a_hand(tmp_path, sim) as hand:
            hand._exchange = NoWay(hand._exchange, "action")  # type: ignore[assignment]  # as much of it as is used
            with pytest.raises(OutcomeUnknown):
                await hand.reduce(await hand.read(), 0)

    with_sim(test)


def test_watchdog_position_below_one_lot_is_asked_for_as_it_is_and_ends_nothing(tmp_path: Path) -> None:
    """F-41: the lot of a market may have grown over what is held there; the venue may close it whole, or say no."""

    async def test(sim: Sim) -> None:
        await sim.open_positions()
        with a_hand(tmp_path, sim) as hand:
            seen = await hand.read()
            tiny = msgspec.structs.replace(seen.positions[0], sz=Decimal("0.00005"))
            said = await hand.reduce(msgspec.structs.replace(seen, positions=(tiny, *seen.positions[1:])), 0)
        assert len(said) == 3, said
        assert TSLA not in sim.held()

    with_sim(test)


def test_watchdog_can_not_open_or_turn_a_position(tmp_path: Path) -> None:
    # I-10, I-18: it acts on an old read of the account
    async def test(sim: Sim) -> None:
        await sim.open_positions()
        with a_hand(tmp_path, sim) as hand:
            seen = await hand.read()
            await hand.reduce(seen, 3)
            assert sim.held() == {}
            said = await hand.reduce(seen, 3)
            assert sim.held() == {}
        assert any("Reduce only" in text for text in said)

    with_sim(test)


def test_watchdog_process_flattens_and_ends_with_sigterm(tmp_path: Path) -> None:
    async def test(sim: Sim) -> None:
        await sim.open_positions()
        long_ago_ns = SystemClock().mono_ns() - 60 * NS_PER_S
        (tmp_path / "control").mkdir()
        Heartbeat(tmp_path, TAG, session_id="dead", mono_ns=long_ago_ns).close()
        words = [*words_of(tmp_path, sim.port, key_file(tmp_path, sim.watchdog)), "--stale-s", "5", "--json"]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "streaming.cli", *words, stdout=asyncio.subprocess.PIPE, env=ENVIRONMENT
        )
        try:
            assert process.stdout is not None
            lines: list[Json] = []
            while not lines or lines[-1]["event"] != "flat":
                lines.append(json.loads(await process.stdout.readline()))
            assert sim.held() == {}
            assert holder_of(tmp_path, "sim", MASTER.address, LeaseKind.WATCHDOG) == str(process.pid)
            second = await asyncio.to_thread(hip3, *words)
            assert (second.returncode, second.stdout) == (5, "")
            assert f"only watchdog for venue sim and account {MASTER.address}" in second.stderr
            process.send_signal(signal.SIGTERM)
            rest = await process.stdout.read()
            assert await process.wait() == 0
            assert json.loads(rest)["event"] == "ended"
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        assert FaultNote(tmp_path, TAG).reason() == NOTE
        assert sim.watchdog.key.hex() not in json.dumps(lines)

    with_sim(test)


def test_watchdog_once_checks_everything_and_sends_nothing(tmp_path: Path) -> None:
    async def test(sim: Sim) -> None:
        await sim.open_positions()
        (tmp_path / "control").mkdir()
        heart = Heartbeat(tmp_path, TAG, session_id="s", mono_ns=SystemClock().mono_ns(), exit_only_coins=(TSLA,))
        words = [*words_of(tmp_path, sim.port, key_file(tmp_path, sim.watchdog)), "--once", "--json"]
        alive = await asyncio.to_thread(hip3, *words)
        said = json.loads(alive.stdout)
        assert (alive.returncode, said["event"], said["heartbeat"]) == (0, "looked", "fresh"), alive.stderr
        assert said["positions"] == [f"{NVDA} 0.5", f"{TSLA} -0.3"]
        assert said["open_order_count"] == 1
        (tmp_path / "two.toml").write_text('dexes = ["xyz", "nowhere"]')
        unknown = await asyncio.to_thread(hip3, *words, "--config", str(tmp_path / "two.toml"))
        assert (unknown.returncode, json.loads(unknown.stdout)["positions"]) == (1, said["positions"]), unknown.stderr
        assert "dex 'nowhere'" in json.loads(unknown.stdout)["detail"]
        heart.end()
        ended = await asyncio.to_thread(hip3, *words)
        assert (ended.returncode, json.loads(ended.stdout)["heartbeat"]) == (1, "ended")
        assert len(sim.held()) == 2

        stranger = await asyncio.to_thread(hip3, *words_of(tmp_path, sim.port, key_file(tmp_path, Wallet(77))))
        assert stranger.returncode == 3
        assert "to be an agent of" in stranger.stderr

    with_sim(test)


# --- what it refuses


def key_file(folder: Path, wallet: Wallet) -> Path:
    path = folder / f"{wallet.address}.key"
    path.touch(0o600)
    path.write_text(wallet.key.hex())
    return path


def words_of(root: Path, port: int, key: Path) -> list[str]:
    place = ["--venue", "sim", "--sim-port", str(port), "--warehouse", str(root), "--account", MASTER.address]
    return ["watchdog", *place, "--key-file", str(key)]


def test_watchdog_refuses_the_sidecars_key(tmp_path: Path) -> None:
    wallet = Wallet(24)
    with NonceMark(tmp_path, wallet.address, program="sidecar", clock=SystemClock()):
        pass
    refused = hip3(*words_of(tmp_path, free_ports(1)[0], key_file(tmp_path, wallet)))
    assert refused.returncode == 2
    assert "the sidecar's" in refused.stderr
    assert wallet.key.hex() not in refused.stderr


def test_watchdog_lease_stands_beside_the_sidecars(tmp_path: Path) -> None:
    # I-30
    with (
        InstanceLock(tmp_path, "sim", MASTER.address) as sidecar,
        InstanceLock(tmp_path, "sim", MASTER.address, LeaseKind.WATCHDOG) as watchdog,
    ):
        assert sidecar.tag == watchdog.tag
        assert sidecar.path != watchdog.path
        assert holder_of(tmp_path, "sim", MASTER.address, LeaseKind.WATCHDOG) == str(os.getpid())


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--stale-s", "4"], "--stale-s"),
        (["--slippage-bps-max", "1001"], "--slippage-bps-max"),
        (["--slippage-bps-max", "nan"], "--slippage-bps-max"),
        (["--account", ""], "account"),
        (["--password", "hunter2"], "unrecognized arguments"),
    ],
)
def test_watchdog_refuses_what_would_not_protect(tmp_path: Path, flags: list[str], named: str) -> None:
    refused = hip3(*words_of(tmp_path, free_ports(1)[0], key_file(tmp_path, Wallet(25))), *flags)
    assert refused.returncode == 2
    assert named in refused.stderr


def test_watchdog_says_for_people_what_it_says_for_programs() -> None:
    line = Line(
        event="reduced", ts_ns=1_790_000_000 * NS_PER_S, heartbeat=Verdict.STALE, age_ms=16_400,
        positions=(f"{NVDA} 0.5",), open_order_count=2, detail="filled 0.5 at 190",
    )  # fmt: skip
    assert text_line(line) == (
        "14:13:20 reduced: heartbeat stale, last beat 16.4 s ago; open: xyz:NVDA 0.5; 2 resting orders; "
        "filled 0.5 at 190"
    )
