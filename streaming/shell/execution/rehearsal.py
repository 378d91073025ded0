"""Rehearses the way from a tick to a signed order while nothing else is to be done.

Why this module exists: between two opportunities other code, other processes and the machine's idle states push the
path of an order out of the processor's caches, and the one order that counts then takes two to three times as long.
What makes it warm again is running it.

Rule 1: the stage is a state, a market, a key and nonces of its own: no byte leaves, nothing is journaled, and nothing
of the session's state is touched. What is run is the code of the session itself.
Rule 2: it runs only after a moment in which no input came, at most once an interval, and never before an input that the
loop has read already: an input waits for one rehearsal at most.
Rule 3: it runs only while a real entry is possible; a session that observes or trades on paper pays nothing.
"""

import asyncio
import contextlib
import copy
import ctypes
import os
import struct
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Final

from streaming.core.allowance import share_allowances
from streaming.core.engine import decide, new_state
from streaming.core.errors import InvariantViolation
from streaming.core.events import CtxUpdated, MarketAllowance, Phase
from streaming.core.limits import Limits
from streaming.core.market import MarketSpec, MarketStatus
from streaming.core.state import (
    ControlState,
    EngineState,
    MarketState,
    Readiness,
    Rotation,
    SessionInfo,
    TimerKind,
    schedule,
)
from streaming.core.trading.action_budget import AddressRead
from streaming.core.trading.effects import ActionDecided
from streaming.core.trading.entries import is_entry_possible
from streaming.core.trigger import set_threshold
from streaming.core.units import NS_PER_MS, NS_PER_S, ONE
from streaming.hyperliquid.actions import post_frame
from streaming.hyperliquid.decode import decode_frame
from streaming.hyperliquid.presigning import Presignature
from streaming.hyperliquid.signing import Signer
from streaming.shell.clock import Clock
from streaming.shell.execution.wire_action import signed_action
from streaming.shell.journal.format import append_frame, append_outputs

IDLE_NS: Final = NS_PER_MS // 4
"""So long nothing came: a block's frames come closer together, the next block later."""

_KEY: Final = b"\x01" * 32
"""Signs what nobody receives; the address is well known and holds nothing, so its k may be used again and again."""
_COIN: Final = "rehearsal:BTC"
_MONO_NS: Final = 3_600 * NS_PER_S
_TS_NS: Final = 1_790_000_000 * NS_PER_S
_NEVER_MONO_NS: Final = 2**62
_FRAME: Final = (
    b'{"channel":"bbo","data":{"coin":"rehearsal:BTC","time":1790000000000,'
    b'"bbo":[{"px":"99.0","sz":"12.5","n":1},{"px":"99.01","sz":"12.5","n":1}]}}'
)
"""Its ask is a percent below the stage's oracle."""


class Rehearsal:
    """A stage on which one order is decided and signed again and again."""

    def __init__(self, *, is_mainnet: bool, is_presigned: bool) -> None:
        """Set the stage; `is_presigned` says whether the session's own actions are."""
        self._state = _stage()
        self._signer = Signer(_KEY, is_mainnet=is_mainnet, store=_Endless() if is_presigned else None)
        self._buffer = bytearray()

    def run(self) -> bytes:
        """Go the whole way once; returns the frame that would be sent, which its caller throws away."""
        state, buffer = self._state, self._buffer
        buffer.clear()
        state.live.nonce.last = 0  # else its nonces ran away from its clock, which stands still
        event = decode_frame(_FRAME, generation=state.live_generation, recv_mono_ns=_MONO_NS, recv_ts_ns=_TS_NS)
        append_frame(buffer, state.seq + 1, state.live_generation, _MONO_NS, _TS_NS, _FRAME)
        outputs = decide(state, event)
        append_outputs(buffer, state.seq, outputs)
        state.entered = None  # never explained, so nothing is booked and the next one finds the same stage
        action = outputs[-1] if outputs else None
        if type(action) is not ActionDecided:
            raise InvariantViolation("I-02", outputs=len(outputs))
        return post_frame(action.action_id, signed_action(self._signer, action))


class _Endless:
    """Presignatures of the stage's key, which is public: copies of one."""

    def __init__(self) -> None:
        self._presignature = Presignature(_KEY, _KEY)

    def take(self) -> Presignature:
        """Hand out a copy."""
        return copy.copy(self._presignature)


class Rehearsals:
    """When a rehearsal takes place."""

    def __init__(
        self,
        state: EngineState,
        rehearse: Callable[[], object],
        *,
        interval_ms: int,
        clock: Clock,
        on_done: Callable[[], None],
    ) -> None:
        """Rehearse in the pauses between the turns of `state`; needs the running loop.

        Args:
            state: The session's, only read.
            rehearse: `Rehearsal.run`.
            interval_ms: Least time between two rehearsals, > 0.
            clock: Measures pauses.
            on_done: Called after each.
        """
        self._state = state
        self._rehearse = rehearse
        self._interval_ns = interval_ms * NS_PER_MS
        self._clock = clock
        self._on_done = on_done
        self._loop = asyncio.get_running_loop()
        self._timer = _Timer()
        self._coming: asyncio.Handle | None = None
        self._is_timed = False
        self._turn_mono_ns = 0
        self._done_mono_ns = 0
        self._loop.add_reader(self._timer.fd, self._rang)

    def turn_ended(self, mono_ns: int) -> None:
        """Take note of a turn that ended at `mono_ns`: the pause begins anew."""
        self._turn_mono_ns = mono_ns
        if not self._is_timed and is_entry_possible(self._state):
            self._is_timed = True
            self._timer.set(IDLE_NS)

    def close(self) -> None:
        """Rehearse no more."""
        if self._coming is not None:
            self._coming.cancel()
        self._loop.remove_reader(self._timer.fd)
        self._timer.close()

    def _rang(self) -> None:
        self._timer.acknowledge()
        now_mono_ns = self._clock.mono_ns()
        due_mono_ns = max(self._turn_mono_ns + IDLE_NS, self._done_mono_ns + self._interval_ns)
        if now_mono_ns < due_mono_ns:
            self._timer.set(due_mono_ns - now_mono_ns)
        else:  # after whatever else this turn of the loop has read from the sockets
            self._coming = self._loop.call_soon(self._run_unless_interrupted, self._state.seq)

    def _run_unless_interrupted(self, seq: int) -> None:
        if not is_entry_possible(self._state):
            self._is_timed = False  # the next turn looks again
            return
        if self._state.seq != seq:
            self._timer.set(IDLE_NS)
            return
        self._rehearse()
        self._on_done()
        self._done_mono_ns = self._clock.mono_ns()
        self._timer.set(self._interval_ns)


class _Timer:
    """One shot of CLOCK_MONOTONIC that the loop can wait for; the loop's own timers know whole milliseconds only."""

    def __init__(self) -> None:
        fd = _libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self.fd: int = fd

    def set(self, delay_ns: int) -> None:
        """Ring after `delay_ns` > 0; replaces what was set before."""
        _libc.timerfd_settime(self.fd, 0, _ITIMERSPEC.pack(0, 0, *divmod(delay_ns, NS_PER_S)), None)

    def acknowledge(self) -> None:
        """Take note of its ring, else the loop is told again at once."""
        with contextlib.suppress(BlockingIOError):  # set anew since the loop was told
            os.read(self.fd, 8)

    def close(self) -> None:
        """Let go of it."""
        os.close(self.fd)


_libc = ctypes.CDLL(None, use_errno=True)  # os.timerfd_create comes with Python 3.13
_ITIMERSPEC = struct.Struct("@llll")


def _stage() -> EngineState:
    """Return a state in which everything speaks for an entry, at an instant that never passes."""
    spec = MarketSpec(
        coin=_COIN,
        dex="rehearsal",
        asset_id=110_000,
        sz_decimals=2,
        leverage_max=10,
        margin_mode="cross",
        is_growth_mode=False,
        deployer_fee_scale=ONE,
        taker_fee_bps=Decimal(2),
        is_delisted=False,
        collateral_token=0,
        spec_version="rehearsal",
    )
    session = SessionInfo(
        session_id="rehearsal", venue="sim", account="", agent="rehearsal", code_version="", config_hash=""
    )
    state = new_state(session, Limits(), (spec,))
    state.seq, state.mono_ns, state.ts_ns = 1, _MONO_NS, _TS_NS
    schedule(state, _NEVER_MONO_NS, TimerKind.SWEEP)
    state.generation = state.live_generation = state.live.generation = 1
    state.is_connected = state.live.is_ready = True
    state.live.budget.address_reads = [AddressRead(used_count=0, cap_count=10**9, mono_ns=_MONO_NS)]
    state.control = ControlState(
        phase=Phase.MICRO,
        is_armed=True,
        rotation=Rotation(
            version=1,
            sha256="",
            expires_ts_ns=_NEVER_MONO_NS,
            markets=(MarketAllowance(_COIN, Decimal(100)),),
            blacklist=(),
        ),
    )
    _set_market(state.markets[_COIN])
    share_allowances(state)
    set_threshold(state.markets[_COIN], state.limits.detector)
    return state


def _set_market(market: MarketState) -> None:
    market.ctx = CtxUpdated(
        recv_mono_ns=_MONO_NS,
        recv_ts_ns=_TS_NS,
        coin=_COIN,
        generation=1,
        oracle_px=Decimal(100),
        mark_px=Decimal(99),
        mid_px=None,
        impact_bid_px=None,
        impact_ask_px=None,
        open_interest_sz=Decimal(1),
        funding_ratio=0.0,
        premium_ratio=None,
        day_ntl_vlm_usd=None,
    )
    market.readiness = Readiness.READY
    market.spread_ewma, market.spread_count = Decimal("0.01"), 1_000
    market.status = MarketStatus(coin=_COIN, is_halted=False, is_at_oi_cap=False, oi_cap_ntl=Decimal(10**9))
    market.status_mono_ns, market.normal_mono_ns = _MONO_NS, 0
