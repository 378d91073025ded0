"""Rehearsals of the order path: the real way on a stage of its own, and nothing of it reaches anybody."""

import asyncio
import json
import select
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from core_builders import START_TS_NS, a_timer
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils import keccak
from shell_parts import Shell, a_shell
from trading_builders import READY_MS, Desk, a_desk

from streaming.core.engine import encode_snapshot
from streaming.core.events import Phase
from streaming.core.state import EngineState, Latch
from streaming.core.trading.entries import is_entry_possible
from streaming.hyperliquid.signing import Signer
from streaming.shell.clock import SystemClock
from streaming.shell.execution.rehearsal import Rehearsal, Rehearsals

if TYPE_CHECKING:
    from streaming.core.trading.effects import ActionDecided

CLOCK = SystemClock()
Rehearse = Callable[[], object]


def recovered_by_eth_account(request: dict[str, Any], source: str) -> str:
    packed = msgspec.msgpack.encode(request["action"]) + request["nonce"].to_bytes(8, "big") + b"\x00"
    packed += b"\x00" + request["expiresAfter"].to_bytes(8, "big")
    message = {
        "domain": {"name": "Exchange", "version": "1", "chainId": 1337, "verifyingContract": "0x" + "00" * 20},
        "types": {
            "Agent": [{"name": "source", "type": "string"}, {"name": "connectionId", "type": "bytes32"}],
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
        },
        "primaryType": "Agent",
        "message": {"source": source, "connectionId": keccak(packed)},
    }
    signature = request["signature"]
    vrs = (signature["v"], int(signature["r"], 16), int(signature["s"], 16))
    address: str = Account.recover_message(encode_typed_data(full_message=message), vrs=vrs)
    return address.lower()


@pytest.mark.parametrize("is_presigned", [True, False])
@pytest.mark.parametrize(("is_mainnet", "source"), [(True, "a"), (False, "b")])
def test_rehearsal_goes_the_whole_way_to_a_signed_post(is_mainnet: bool, source: str, is_presigned: bool) -> None:
    frame = json.loads(Rehearsal(is_mainnet=is_mainnet, is_presigned=is_presigned).run())
    request = frame["request"]["payload"]
    (order,) = request["action"]["orders"]
    assert (frame["method"], order["b"], order["p"], order["t"]) == ("post", True, "99.01", {"limit": {"tif": "Ioc"}})
    throwaway = Account.from_key(b"\x01" * 32).address.lower()
    assert recovered_by_eth_account(request, source) == throwaway


def test_rehearsal_finds_the_same_stage_however_often_it_runs() -> None:
    rehearsal = Rehearsal(is_mainnet=False, is_presigned=True)
    rehearsal.run()
    before = msgspec.msgpack.decode(encode_snapshot(rehearsal._state))
    for _ in range(200):
        rehearsal.run()
    after = msgspec.msgpack.decode(encode_snapshot(rehearsal._state))
    assert after["live"]["nonce"] == before["live"]["nonce"]
    for grown in (after, after["live"]):  # nothing is collected: only counters move
        assert {name: len(value) for name, value in grown.items() if isinstance(value, list | dict)} == {
            name: len(value)
            for name, value in (before if grown is after else before["live"]).items()
            if isinstance(value, list | dict)
        }


class Stage:
    """A session that may trade for real, and rehearsals beside it."""

    def __init__(self, folder: Path, rehearse: Rehearse | None = None) -> None:
        self.desk: Desk = a_desk()
        self.shell: Shell = a_shell(folder, state=self.desk.state)
        self.actions: list[ActionDecided] = []
        self.shell.runtime.on_action = self.actions.append
        self.count = 0
        self.enough = asyncio.Event()
        self.rehearsals = Rehearsals(
            self.desk.state,
            rehearse or Rehearsal(is_mainnet=False, is_presigned=True).run,
            interval_ms=1,
            clock=CLOCK,
            on_done=self.done,
        )
        self.shell.runtime.on_turn = lambda _mono_ns, _seq: self.rehearsals.turn_ended(CLOCK.mono_ns())

    def done(self) -> None:
        self.count += 1
        if self.count == 3:
            self.enough.set()

    async def quiet_turn(self) -> None:
        self.shell.runtime.apply(a_timer(READY_MS + 1))
        await self.shell.turn()

    def close(self) -> None:
        self.rehearsals.close()
        self.shell.close()


def on_stage(
    folder: Path, test: Callable[[Stage], Coroutine[Any, Any, None]], rehearse: Rehearse | None = None
) -> None:
    async def main() -> None:
        stage = Stage(folder, rehearse)
        try:
            async with asyncio.timeout(10):
                await test(stage)
        finally:
            stage.close()

    asyncio.run(main())


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_rehearsals_leave_state_journal_nonces_and_socket_alone(tmp_path: Path) -> None:
    async def test(stage: Stage) -> None:
        await stage.quiet_turn()
        state, nonce = encode_snapshot(stage.desk.state), stage.desk.live.nonce.last
        stage.shell.journal.commit()
        written = content(tmp_path)
        await stage.enough.wait()
        assert encode_snapshot(stage.desk.state) == state
        stage.shell.journal.commit()  # would write whatever was appended
        assert content(tmp_path) == written
        assert stage.desk.live.nonce.last == nonce
        assert stage.actions == []

    on_stage(tmp_path, test)


def test_rehearsals_never_sign_with_the_key_of_the_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signers = set()
    original = Signer.sign_l1_raw

    def noted(signer: Signer, *arguments: Any) -> bytes:  # noqa: ANN401 - those of the original
        signers.add(signer.address)
        return original(signer, *arguments)

    async def test(stage: Stage) -> None:
        await stage.quiet_turn()
        await stage.enough.wait()
        assert signers == {Account.from_key(b"\x01" * 32).address.lower()}

    monkeypatch.setattr(Signer, "sign_l1_raw", noted)
    on_stage(tmp_path, test)


def test_rehearsal_lets_an_input_go_first_that_is_ready_with_it(tmp_path: Path) -> None:
    order: list[str] = []

    async def test(stage: Stage) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            await stage.quiet_turn()

            def frame_came() -> None:
                ours.recv(1)
                order.append("frame")
                stage.shell.runtime.apply(a_timer(READY_MS + 2))

            asyncio.get_running_loop().add_reader(ours, frame_came)
            # The loop is held until the timer has rung, and a frame waits behind it: both are found at once.
            assert select.select([stage.rehearsals._timer.fd], [], [], 5)[0]
            theirs.send(b"x")
            await stage.enough.wait()
            asyncio.get_running_loop().remove_reader(ours)

    on_stage(tmp_path, test, rehearse=lambda: order.append("rehearsal"))
    assert order[:2] == ["frame", "rehearsal"]


def test_rehearsals_end_once_entries_do(tmp_path: Path) -> None:
    async def test(stage: Stage) -> None:
        await stage.quiet_turn()
        await stage.enough.wait()
        stage.desk.state.control.is_armed = False
        count = stage.count
        loop = asyncio.get_running_loop()
        while stage.rehearsals._is_timed:  # it rings once more, looks, and is not set again
            await loop.run_in_executor(None, select.select, [stage.rehearsals._timer.fd], [], [], 0.1)
        assert stage.count == count
        await stage.quiet_turn()
        assert not stage.rehearsals._is_timed

    on_stage(tmp_path, test)


def _latch(state: EngineState) -> None:
    state.control.latch = Latch(reason="r", operator="o", ts_ns=START_TS_NS)


def _expire(state: EngineState) -> None:
    assert state.control.rotation is not None
    state.control.rotation = msgspec.structs.replace(state.control.rotation, is_expired=True)


@pytest.mark.parametrize(
    "forbid",
    [
        _latch,
        _expire,
        lambda state: setattr(state.control, "is_armed", False),
        lambda state: setattr(state.control, "phase", Phase.PAPER),
        lambda state: setattr(state.control, "rotation", None),
        lambda state: setattr(state.live, "is_ready", False),
    ],
)
def test_rehearsals_are_for_sessions_that_may_enter(forbid: Callable[[EngineState], None]) -> None:
    state = a_desk().state
    assert is_entry_possible(state)
    forbid(state)
    assert not is_entry_possible(state)
