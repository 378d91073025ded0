"""Our account against the venue's: positions and money, by reads that agree twice.

Rule 1: one read never changes anything and proves nothing (F-45); a read that crossed a change of ours is not judged.
Rule 2: the first two agreeing reads give the starting point of cash; from then on it moves only by what we book.
Rule 3: two equal reads that differ from ours, with a query for missed fills between them, set the latch:
`foreign_activity` for positions, `conservation` for money (I-12, I-15).
Rule 4: an operator's reset of `foreign_activity` takes the venue's positions over as ours to close; what lies in
markets that are not watched is none of ours from then on, for as long as they are not.
"""

from decimal import Decimal

from streaming.core.allowance import exits_of
from streaming.core.effects import AnyOutput
from streaming.core.latch import set_latch
from streaming.core.market import Side
from streaming.core.state import EngineState, TimerKind
from streaming.core.trading.account import has_doubt, is_quiet
from streaming.core.trading.books import dex_of
from streaming.core.trading.doubts import count_agreement
from streaming.core.trading.effects import AccountChecked, LivePositionChanged, PositionIgnored
from streaming.core.trading.events import AccountRead
from streaming.core.trading.exit_rules import ExitBaseline, ExitTrack
from streaming.core.trading.exits import schedule_exit
from streaming.core.trading.model import DexAccount, LivePosition, VenuePosition
from streaming.core.trading.questions import ask_fills, ask_later, take_answer
from streaming.core.trading.ready import report_ready
from streaming.core.units import NS_PER_MS, ZERO, quantize_ntl

AGREEING_COUNT = 2
SOON_MS, USUAL_MS = 1_100, 5_000
"""Until the account is proved, and then. Two agreeing reads are at least a second apart."""
CASH_TOLERANCE = Decimal("0.01")
_BPS_OF_TURNOVER = Decimal("0.0001")


def on_account_read(state: EngineState, event: AccountRead, out: list[AnyOutput]) -> None:
    """Judge a read, and plan the next one."""
    answer = take_answer(state, event.query_id)
    if answer is None:
        return
    live = state.live
    live.venue_ts_ms = max([live.venue_ts_ms, *[account.venue_ts_ms for account in event.accounts]])
    _, is_unchanged = answer
    mismatches = {account.dex: _position_mismatches(state, account) for account in event.accounts}
    if is_unchanged:
        count_agreement(state, out, is_agreeing=not any(mismatches.values()))
    # Without its stream nobody tells us of funding and transfers: such a read is for doubts alone.
    is_judged = is_unchanged and live.is_fills_proved and is_quiet(live)
    if is_judged:
        _judge(state, event, mismatches, out)
    is_proved = is_judged and live.proof.is_proved and live.proof.signature == ""
    delay_ms = USUAL_MS if is_proved or has_doubt(live) else SOON_MS  # a doubt asks by its own clock
    ask_later(state, TimerKind.ACCOUNT, delay_ms)
    report_ready(state, out)


def adopt_positions(state: EngineState, out: list[AnyOutput]) -> None:
    """Take over what the venue said twice and no fill has changed since: an operator has looked and reset the latch."""
    live = state.live
    restart_cash(state, out)
    proof = live.proof
    is_said = bool(proof.signature) and proof.signature_count >= AGREEING_COUNT and proof.fill_count == live.fill_count
    for account in proof.accounts if is_said else ():
        theirs = {position.coin: position for position in account.positions}
        for coin in state.markets:
            if dex_of(coin) == account.dex:
                _adopt(state, out, coin, theirs.get(coin))
        for coin, position in theirs.items():
            if coin not in state.markets and coin not in live.ignored_coins:
                live.ignored_coins.append(coin)
                out.append(PositionIgnored(ts_ns=state.ts_ns, mono_ns=state.mono_ns, coin=coin, sz=position.sz))
    live.change_count += 1
    live.proof.is_proved = False
    live.proof.signature_count = 0


def restart_cash(state: EngineState, out: list[AnyOutput]) -> None:
    """Give up our account of the venue's cash: the next two agreeing reads are its new start."""
    live = state.live
    for dex, cash in live.cash.items():
        out.append(
            AccountChecked(
                ts_ns=state.ts_ns,
                mono_ns=state.mono_ns,
                dex=dex,
                venue_cash=quantize_ntl(cash),
                expected_cash=None,
                difference=ZERO,
                position_mismatches=(),
                is_judged=False,
            )
        )
    live.cash, live.cash_from_ts_ms = {}, {}
    live.proof.cash_seen = {}


def _judge(
    state: EngineState, event: AccountRead, mismatches: dict[str, tuple[str, ...]], out: list[AnyOutput]
) -> None:
    proof = state.live.proof
    found = []
    for account in event.accounts:
        difference, is_cash_wrong = _check_cash(state, account)
        if mismatches[account.dex]:
            found.append(f"positions {'; '.join(mismatches[account.dex])}")
        if is_cash_wrong:
            found.append(f"cash of {account.dex or 'the validator dex'} differs by {difference}")
        out.append(
            AccountChecked(
                ts_ns=state.ts_ns,
                mono_ns=state.mono_ns,
                dex=account.dex,
                venue_cash=quantize_ntl(account.cash),
                expected_cash=state.live.cash.get(account.dex),
                cash_from_ts_ms=state.live.cash_from_ts_ms.get(account.dex, 0),
                difference=difference,
                position_mismatches=mismatches[account.dex],
                is_judged=True,
            )
        )
    signature = ", ".join(found)
    if signature != proof.signature:
        proof.signature_count, proof.is_fills_read = 0, False
    proof.signature_count += 1
    proof.signature = signature
    proof.accounts = event.accounts
    proof.fill_count = state.live.fill_count
    if not signature:
        proof.is_proved = proof.is_proved or (
            proof.signature_count >= AGREEING_COUNT and all(a.dex in state.live.cash for a in event.accounts)
        )
        return
    proof.is_proved = False
    if proof.signature_count < AGREEING_COUNT or not proof.is_fills_read:
        ask_fills(state, out)
        return
    name = "foreign_activity" if any(mismatches.values()) else "conservation"
    set_latch(state, out, reason=f"{name}: {signature}"[:200], operator="engine")


def _position_mismatches(state: EngineState, account: DexAccount) -> tuple[str, ...]:
    live = state.live
    theirs = {p.coin: p.sz for p in account.positions if p.coin not in live.ignored_coins}
    ours = {coin: position.sz for coin, position in live.positions.items() if dex_of(coin) == account.dex}
    return tuple(
        [
            f"{coin}: ours {ours.get(coin, ZERO)}, venue {theirs.get(coin, ZERO)}"
            for coin in sorted(theirs.keys() | ours.keys())
            if ours.get(coin, ZERO) != theirs.get(coin, ZERO)
        ]
    )


def _check_cash(state: EngineState, account: DexAccount) -> tuple[Decimal, bool]:
    # (venue less ours, whether that is more than rounding explains)
    live, proof = state.live, state.live.proof
    cash = account.cash
    expected = live.cash.get(account.dex)
    if expected is None:
        if proof.cash_seen.get(account.dex) == cash:
            live.cash[account.dex], live.turnover[account.dex] = cash, ZERO
            live.cash_from_ts_ms[account.dex] = account.venue_ts_ms
        proof.cash_seen[account.dex] = cash
        return ZERO, False
    difference = quantize_ntl(cash - expected)
    bound = max(CASH_TOLERANCE, live.turnover.get(account.dex, ZERO) * _BPS_OF_TURNOVER)
    return difference, abs(difference) > bound


def _adopt(state: EngineState, out: list[AnyOutput], coin: str, theirs: VenuePosition | None) -> None:
    live = state.live
    ours = live.positions.get(coin)
    if (ZERO if ours is None else ours.sz) == (ZERO if theirs is None else theirs.sz):
        return
    position = None
    live.positions.pop(coin, None)
    live.tracks.pop(coin, None)
    if theirs is not None:
        position = _adopted(state, coin, theirs)
        live.positions[coin] = position
        live.tracks[coin] = ExitTrack()
        schedule_exit(state, coin, state.mono_ns + exits_of(state, coin).time_stop_ms * NS_PER_MS)
    out.append(
        LivePositionChanged(
            ts_ns=state.ts_ns,
            mono_ns=state.mono_ns,
            coin=coin,
            position=position,
            realised_pnl=ZERO,
            reason="adopted",
        )
    )


def _adopted(state: EngineState, coin: str, theirs: VenuePosition) -> LivePosition:
    market = state.markets[coin]
    entry_px = theirs.entry_px or market.mark_px or market.oracle_px or ZERO
    sz = abs(theirs.sz)
    return LivePosition(
        coin=coin,
        sz=theirs.sz,
        signal_id="",
        baseline=ExitBaseline(
            side=Side.BUY if theirs.sz > ZERO else Side.SELL,
            entry_px=entry_px,
            entry_mono_ns=state.mono_ns,
            entry_oracle_px=market.oracle_px,
            entry_mark_px=market.mark_px,
            entry_edge_bps=None,
        ),
        entry_ts_ns=state.ts_ns,
        expected_px=entry_px,
        entry_px=entry_px,
        cost_ntl=quantize_ntl(entry_px * sz),
        opened_sz=sz,
    )
