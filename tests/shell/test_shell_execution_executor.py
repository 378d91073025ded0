"""From a decision to signed bytes: what leaves, what does not, and what the engine is told (I-02, I-05, I-18, I-20)."""

import asyncio
import json
import struct
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils import keccak

from streaming.core.errors import InvariantViolation, NotSent, OutcomeUnknown, StoreError
from streaming.core.market import Side
from streaming.core.trading.effects import ActionDecided
from streaming.core.trading.events import ActionAnswered, ActionNotSent, ActionOutcomeUnknown, ActionSent
from streaming.core.trading.model import CancelTicket, OrderTicket, Tif
from streaming.core.trading.refusal import RefusalCode
from streaming.hyperliquid.signing import Signer
from streaming.shell.execution.exchange_client import HttpAnswer
from streaming.shell.execution.executor import POST_PAUSE_NS, REST_COUNT_MAX, REST_EXIT_COUNT, Executor
from streaming.shell.execution.nonce_mark import BLOCK_MS, NonceMark
from streaming.shell.process.faults import Faults

Json = Any
KEY = keccak(b"an agent of tests")
NOW_MS = 1_790_000_000_000
CLOID = "0x" + "ab" * 16
OK = HttpAnswer(200, b'{"status":"ok","response":{"type":"order","data":{"statuses":[{"filled":{"totalSz":"1.0",'
                     b'"avgPx":"190.0","oid":7}}]}}}')  # fmt: skip


class FakeClock:
    def __init__(self) -> None:
        self.now_ns = 5_000_000_000
        self.wall_ms = NOW_MS

    def mono_ns(self) -> int:
        return self.now_ns

    def ts_ns(self) -> int:
        return self.wall_ms * 1_000_000


class FakeExchange:
    """Stands where REST stands: fails before or after the hand-over, answers, or waits."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.answer: HttpAnswer | Exception = OK
        self.is_handed_over = True
        self.gate: asyncio.Event | None = None

    async def post(self, body: bytes, *, item_count: int, on_handed_over: Callable[[], None]) -> HttpAnswer:
        assert item_count
        self.bodies.append(body)
        if self.is_handed_over:
            on_handed_over()
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Bench:
    """An executor with everything around it in the test's hand."""

    def __init__(self, folder: Path, *, has_signer: bool = True) -> None:
        self.clock = FakeClock()
        self.exchange = FakeExchange()
        self.frames: list[bytes] = []
        self.events: list[object] = []
        self.reason = ""
        self.asked: list[ActionDecided] = []
        self.send_result: bool | Exception = True
        self.faults = Faults()
        self.signer = Signer(KEY, is_mainnet=False)
        self.mark = NonceMark(folder, self.signer.address, program="sidecar", clock=self.clock)
        self.executor = Executor(
            signer=self.signer if has_signer else None,
            mark=self.mark if has_signer else None,
            exchange=self.exchange,  # type: ignore[arg-type]
            send_post=self.send,
            may_send=self.may_send,
            apply=self.events.append,
            clock=self.clock,
            faults=self.faults,
        )

    def send(self, frame: bytes) -> bool:
        if self.send_result is not False:
            self.frames.append(frame)
        if isinstance(self.send_result, Exception):
            raise self.send_result
        return self.send_result

    def may_send(self, action: ActionDecided) -> str:
        self.asked.append(action)
        return self.reason

    async def settled(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


def with_bench(tmp_path: Path, test: Callable[[Bench], Any], **options: bool) -> Bench:
    async def main() -> Bench:
        bench = Bench(tmp_path, **options)
        try:
            coming = test(bench)
            if coming is not None:
                await coming
        finally:
            await bench.executor.close()
            bench.mark.close()
        return bench

    return asyncio.run(main())


def order(*, is_exit: bool = False, limit_px: str = "190.5") -> OrderTicket:
    return OrderTicket(
        coin="xyz:NVDA",
        asset_id=110_002,
        cloid=CLOID,
        side=Side.SELL if is_exit else Side.BUY,
        limit_px=Decimal(limit_px),
        sz=Decimal("0.25"),
        is_reduce_only=is_exit,
        tif=Tif.IOC,
    )


def decided(*orders: OrderTicket, action_id: int = 1, **fields: Json) -> ActionDecided:
    values: dict[str, Json] = {
        "ts_ns": NOW_MS * 1_000_000,
        "mono_ns": 5_000_000_000,
        "action_id": action_id,
        "kind": "order",
        "orders": orders,
        "cancels": (),
        "schedule_ts_ms": None,
        "nonce": NOW_MS + action_id,
        "expires_ts_ms": NOW_MS + 3_000,
        "may_add_risk": any(not each.is_reduce_only for each in orders),
    }
    return ActionDecided(**(values | fields))


def entry(**fields: Json) -> ActionDecided:
    return decided(order(), **fields)


def exit_order(**fields: Json) -> ActionDecided:
    return decided(order(is_exit=True), **fields)


def cancel(action_id: int = 1) -> ActionDecided:
    ticket = CancelTicket(coin="xyz:NVDA", asset_id=110_002, cloid=CLOID)
    return decided(action_id=action_id, kind="cancel", cancels=(ticket,))


def kinds(bench: Bench) -> list[type]:
    return [type(event) for event in bench.events]


def reasons(bench: Bench) -> list[str]:
    return [event.reason for event in bench.events if isinstance(event, ActionNotSent | ActionOutcomeUnknown)]


# --- the way out


def test_executor_sends_one_frame_and_says_so_with_the_stamps_of_that_moment(tmp_path: Path) -> None:
    bench = with_bench(tmp_path, lambda bench: bench.executor.perform(entry(action_id=42)))

    (frame,) = bench.frames
    post = json.loads(frame)
    assert (post["method"], post["id"], post["request"]["type"]) == ("post", 42, "action")
    payload = post["request"]["payload"]
    assert payload["nonce"] == NOW_MS + 42
    assert payload["expiresAfter"] == NOW_MS + 3_000
    assert payload["action"]["orders"] == [
        {"a": 110_002, "b": True, "p": "190.5", "s": "0.25", "r": False, "t": {"limit": {"tif": "Ioc"}}, "c": CLOID}
    ]
    assert bench.events == [
        ActionSent(recv_mono_ns=5_000_000_000, recv_ts_ns=NOW_MS * 1_000_000, action_id=42, is_rest=False)
    ]


@pytest.mark.parametrize(
    "action",
    [
        entry(),
        exit_order(),
        cancel(),
        decided(kind="schedule_cancel", schedule_ts_ms=NOW_MS + 9_000),
        decided(kind="schedule_cancel"),
    ],
)
def test_executor_signature_of_the_bytes_that_left_is_eth_accounts(tmp_path: Path, action: ActionDecided) -> None:
    bench = with_bench(tmp_path, lambda bench: bench.executor.perform(action))

    payload = json.loads(bench.frames[0])["request"]["payload"]
    packed = msgspec.msgpack.encode(payload["action"])
    after = b"\x00" + struct.pack(">Q", payload["expiresAfter"])
    connection_id = keccak(packed + struct.pack(">Q", payload["nonce"]) + b"\x00" + after)
    typed = encode_typed_data(
        {"name": "Exchange", "version": "1", "chainId": 1337, "verifyingContract": f"0x{0:040x}"},
        {"Agent": [{"name": "source", "type": "string"}, {"name": "connectionId", "type": "bytes32"}]},
        {"source": "b", "connectionId": connection_id},
    )
    theirs = Account.from_key(KEY).sign_message(typed)
    ours = payload["signature"]
    assert (int(ours["r"], 16), int(ours["s"], 16), ours["v"]) == (theirs.r, theirs.s, theirs.v)


# --- the last look


def test_executor_latch_set_between_decision_and_send_lets_nothing_leave(tmp_path: Path) -> None:
    # F-116, I-20
    def test(bench: Bench) -> None:
        bench.reason = "stop_latch"
        bench.executor.perform(entry())
        bench.executor.perform(decided(order(), order(is_exit=True), action_id=2))

    bench = with_bench(tmp_path, test)
    assert bench.frames == []
    assert bench.exchange.bodies == []
    assert reasons(bench) == ["stop_latch", "stop_latch"]
    assert kinds(bench) == [ActionNotSent, ActionNotSent]


def test_executor_latch_stops_no_exit_and_no_cancel(tmp_path: Path) -> None:
    # I-18
    def test(bench: Bench) -> None:
        bench.reason = "stop_latch"
        bench.executor.perform(exit_order(action_id=1))
        bench.executor.perform(cancel(action_id=2))

    bench = with_bench(tmp_path, test)
    assert len(bench.frames) == 2
    assert bench.asked == []


@pytest.mark.parametrize("action", [entry(), exit_order(), cancel()])
def test_executor_sends_nothing_from_its_deadline_on(tmp_path: Path, action: ActionDecided) -> None:
    # I-05, F-61
    def late(bench: Bench) -> None:
        bench.clock.wall_ms = action.expires_ts_ms
        bench.executor.perform(action)

    def in_time(bench: Bench) -> None:
        bench.clock.wall_ms = action.expires_ts_ms - 1
        bench.executor.perform(action)

    bench = with_bench(tmp_path, late)
    assert bench.frames == []
    assert reasons(bench) == ["expired"]
    assert len(with_bench(tmp_path, in_time).frames) == 1


def test_executor_nonce_above_the_mark_on_disk_is_not_used(tmp_path: Path) -> None:
    # I-04
    def test(bench: Bench) -> None:
        bench.executor.perform(entry(nonce=NOW_MS + BLOCK_MS))
        bench.executor.perform(entry(nonce=NOW_MS + BLOCK_MS + 1))

    bench = with_bench(tmp_path, test)
    assert kinds(bench) == [ActionSent, ActionNotSent]
    assert reasons(bench) == ["nonce_mark"]


def test_executor_without_a_signer_refuses_everything(tmp_path: Path) -> None:
    bench = with_bench(tmp_path, lambda bench: bench.executor.perform(exit_order()), has_signer=False)

    assert bench.frames == []
    assert reasons(bench) == ["no_signer"]


@pytest.mark.parametrize(
    ("action", "invariant"),
    [
        (entry(may_add_risk=False), "I-18"),
        (decided(order(limit_px="0.000000001")), "I-08"),
        (decided(order(), kind="modify"), "I-02"),
    ],
)
def test_executor_what_the_engine_must_never_decide_ends_the_process(
    tmp_path: Path, action: ActionDecided, invariant: str
) -> None:
    def test(bench: Bench) -> None:
        with pytest.raises(InvariantViolation) as caught:
            bench.executor.perform(action)
        assert caught.value.invariant == invariant

    bench = with_bench(tmp_path, test)
    assert (bench.frames, bench.events) == ([], [])


# --- what became of the bytes


@pytest.mark.parametrize("action", [entry(), exit_order()])
def test_executor_failure_while_sending_is_unknown_and_nothing_is_sent_again(
    tmp_path: Path, action: ActionDecided
) -> None:
    async def test(bench: Bench) -> None:
        bench.send_result = ConnectionResetError("reset by peer")
        bench.executor.perform(action)
        await bench.settled()

    bench = with_bench(tmp_path, test)
    assert kinds(bench) == [ActionOutcomeUnknown]
    assert "reset by peer" in reasons(bench)[0]
    assert len(bench.frames) == 1
    assert bench.exchange.bodies == []


def test_executor_entry_without_a_connection_never_goes_over_rest(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.send_result = False
        bench.executor.perform(entry(action_id=1))
        bench.executor.perform(decided(order(is_exit=True), order(), action_id=2))
        await bench.settled()

    bench = with_bench(tmp_path, test)
    assert bench.exchange.bodies == []
    assert reasons(bench) == ["no_connection", "no_connection"]


def test_executor_exit_without_a_connection_goes_over_rest_once(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.send_result = False
        bench.executor.perform(exit_order(action_id=9))
        await bench.settled()

    bench = with_bench(tmp_path, test)
    (body,) = bench.exchange.bodies
    assert json.loads(body)["nonce"] == NOW_MS + 9
    assert kinds(bench) == [ActionSent, ActionAnswered]
    sent, answer = bench.events
    assert isinstance(sent, ActionSent)
    assert sent.is_rest
    assert isinstance(answer, ActionAnswered)
    assert (answer.action_id, answer.generation, answer.statuses[0].total_sz) == (9, -1, Decimal(1))


def test_executor_rest_that_never_left_is_proved_and_that_left_is_unknown(tmp_path: Path) -> None:
    # F-25, F-26
    async def test(bench: Bench) -> None:
        bench.send_result = False
        bench.exchange.is_handed_over, bench.exchange.answer = False, NotSent("connection refused")
        bench.executor.perform(exit_order(action_id=1))
        await bench.settled()
        bench.exchange.is_handed_over, bench.exchange.answer = True, OutcomeUnknown("no answer")
        bench.executor.perform(exit_order(action_id=2))
        await bench.settled()

    bench = with_bench(tmp_path, test)
    assert kinds(bench) == [ActionNotSent, ActionSent, ActionOutcomeUnknown]
    assert reasons(bench) == ["connection refused", "no answer"]


def test_executor_after_posts_were_refused_exits_take_the_other_way_and_entries_wait(tmp_path: Path) -> None:
    # F-36
    async def test(bench: Bench) -> None:
        refused = ActionAnswered(
            recv_mono_ns=bench.clock.now_ns,
            recv_ts_ns=bench.clock.ts_ns(),
            action_id=1,
            generation=3,
            code=RefusalCode.RATE_LIMIT,
        )
        bench.executor.post_answered(refused)
        bench.executor.perform(entry(action_id=2))
        bench.executor.perform(exit_order(action_id=3))
        await bench.settled()
        assert bench.frames == []
        bench.clock.now_ns += POST_PAUSE_NS
        bench.executor.perform(entry(action_id=4))

    bench = with_bench(tmp_path, test)
    assert reasons(bench) == ["posts_refused"]
    assert [json.loads(body)["nonce"] - NOW_MS for body in bench.exchange.bodies] == [3]
    assert [json.loads(frame)["id"] for frame in bench.frames] == [4]


def test_executor_keeps_places_over_rest_for_exits(tmp_path: Path) -> None:
    # F-36
    async def test(bench: Bench) -> None:
        bench.send_result = False
        bench.exchange.gate = asyncio.Event()
        cancel_places = REST_COUNT_MAX - REST_EXIT_COUNT
        for number in range(1, cancel_places + 2):
            bench.executor.perform(cancel(action_id=number))
        assert reasons(bench) == ["rest_in_flight"], "one cancel more than has a place"
        for number in range(REST_EXIT_COUNT + 1):
            bench.executor.perform(exit_order(action_id=100 + number))
        assert reasons(bench) == ["rest_in_flight"] * 2, "one exit more than has a place"
        await bench.settled()
        assert len(bench.exchange.bodies) == REST_COUNT_MAX
        bench.exchange.gate.set()
        await bench.settled()
        bench.executor.perform(exit_order(action_id=200))
        await bench.settled()
        assert len(bench.exchange.bodies) == REST_COUNT_MAX + 1, "answered requests give their places back"

    with_bench(tmp_path, test)


def test_executor_what_a_request_raises_unexpectedly_ends_the_process(tmp_path: Path) -> None:
    # F-71
    async def test(bench: Bench) -> None:
        bench.send_result = False
        bench.exchange.answer = StoreError("journal full")
        bench.executor.perform(exit_order())
        async with asyncio.timeout(1):
            assert isinstance(await bench.faults.first(), StoreError)

    with_bench(tmp_path, test)


def test_executor_shows_no_key_anywhere(tmp_path: Path) -> None:
    # I-34, F-103
    async def test(bench: Bench) -> None:
        bench.executor.perform(entry(action_id=1))
        bench.send_result = False
        bench.executor.perform(exit_order(action_id=2))
        bench.exchange.answer = OutcomeUnknown("no answer")
        bench.executor.perform(exit_order(action_id=3))
        await bench.settled()

    with structlog.testing.capture_logs() as lines:
        bench = with_bench(tmp_path, test)
    shown = repr((lines, bench.events, bench.executor, bench.signer, vars(bench.executor), bench.frames))
    files = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert KEY.hex() not in shown
    assert KEY.hex().encode() not in files
    assert KEY not in files
