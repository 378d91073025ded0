"""READY-TRADING: when our picture of the account is proved on this connection, apart from READY-MD of the markets.

Rule 1: ready = user channels acked, every fill since the last known one applied and counted, two agreeing reads of the
account that equal ours, and no order in doubt.
Rule 2: a snapshot never changes a position. What it holds and we do not know has to come from a query, applied once
(F-13).
Rule 3: the very first snapshot of an account is where its record begins: what it holds is known and none of ours.
"""

from streaming.core.effects import AnyOutput
from streaming.core.state import EngineState, TimerKind
from streaming.core.trading.account import AccountProof, has_doubt, know_money
from streaming.core.trading.answers import lose_answers
from streaming.core.trading.books import dex_of, funding_key, post_funding, post_transfer, transfer_key
from streaming.core.trading.dispatch import abort_waiting
from streaming.core.trading.doubts import look_for_fills
from streaming.core.trading.effects import FillGapChecked, RecordBegan, TradingReadyChanged
from streaming.core.trading.events import FillsRead, FillsReceived, FundingsReceived, TransfersReceived
from streaming.core.trading.fills import apply_fill, credit_funding
from streaming.core.trading.orders import release_exits
from streaming.core.trading.questions import RETRY_MS, ask_account, ask_fills, ask_later, take_answer

USER_CHANNELS = ("orderUpdates", "userFills", "userFundings", "userNonFundingLedgerUpdates")
"""What has to be acked; subscribed for the account that is traded."""


def is_signing(state: EngineState) -> bool:
    """Say whether this session can sign for an account; without that nothing here runs."""
    return bool(state.session.agent)


def begin_connection(state: EngineState, out: list[AnyOutput]) -> None:
    """Start from nothing on a new connection."""
    live = state.live
    live.generation = state.generation
    live.acked_channels = []
    live.has_snapshot = live.is_fills_proved = False
    live.snapshot_tids = []
    live.proof = AccountProof()
    report_ready(state, out)


def end_connection(state: EngineState, out: list[AnyOutput], reason: str) -> None:
    """Put what was under way in doubt; nothing is proved any more."""
    live = state.live
    live.has_snapshot = live.is_fills_proved = False  # an answer that is still to come proves nothing now
    live.proof = AccountProof()
    abort_waiting(state, out, "", "connection_lost")  # what it was decided on is gone (I-21)
    lose_answers(state, out, reason)
    report_ready(state, out)


def user_channel_acked(state: EngineState, channel: str, out: list[AnyOutput]) -> None:
    """Note an acked user channel."""
    live = state.live
    if channel in USER_CHANNELS and channel not in live.acked_channels:
        live.acked_channels.append(channel)
        report_ready(state, out)


def on_fills(state: EngineState, event: FillsReceived, out: list[AnyOutput]) -> None:
    """Apply fills as they happen; a snapshot only says which ones we may have missed."""
    if event.generation != state.live_generation:
        state.stale_frame_count += 1
        return
    if not event.is_snapshot:
        for fill in event.fills:
            apply_fill(state, out, fill, "stream")
        return
    live = state.live
    if live.fills_from_ts_ms == 0:
        _begin_record(state, event, out)
    live.snapshot_tids = [
        fill.tid for fill in event.fills if fill.tid not in live.tids and fill.venue_ts_ms >= live.fills_from_ts_ms
    ]
    live.has_snapshot = True
    ask_fills(
        state, out, min((fill.venue_ts_ms for fill in event.fills if fill.tid in live.snapshot_tids), default=None)
    )
    report_ready(state, out)


def on_fills_read(state: EngineState, event: FillsRead, out: list[AnyOutput]) -> None:
    """Apply what we missed and prove by counting that nothing is missing any more."""
    answer = take_answer(state, event.query_id)
    if answer is None:
        return
    live = state.live
    ours = [fill for fill in event.fills if fill.venue_ts_ms >= live.fills_from_ts_ms]
    known_count = sum(fill.tid in live.tids for fill in ours)
    in_time = sorted(ours, key=lambda fill: (fill.venue_ts_ms, fill.tid))
    applied_count = sum(apply_fill(state, out, fill, "gap") for fill in in_time)
    look_for_fills(state, answer[0], ours)
    release_exits(state, out, before_mono_ns=answer[0].asked_mono_ns)
    live.proof.is_fills_read = True
    is_proved = known_count + applied_count == len(ours) and all(tid in live.tids for tid in live.snapshot_tids)
    if applied_count or not live.is_fills_proved:
        out.append(
            FillGapChecked(
                ts_ns=state.ts_ns,
                mono_ns=state.mono_ns,
                since_ts_ms=event.start_ts_ms,
                venue_count=len(ours),
                known_count=known_count,
                applied_count=applied_count,
                is_proved=is_proved,
            )
        )
    if is_proved and live.has_snapshot and not live.is_fills_proved:
        live.is_fills_proved = True
        ask_account(state, out)
    elif not is_proved:
        ask_later(state, TimerKind.FILLS, RETRY_MS)
    report_ready(state, out)


def on_fundings(state: EngineState, event: FundingsReceived, out: list[AnyOutput]) -> None:
    """Post funding payments once (F-49); those that a snapshot brings are the ones that we missed."""
    live = state.live
    if event.generation != state.live_generation:
        state.stale_frame_count += 1
        return
    for funding in event.fundings:
        is_counted = _is_counted(state, dex_of(funding.coin), funding.venue_ts_ms, is_snapshot=event.is_snapshot)
        if is_counted and know_money(live, funding_key(funding), state.ts_ns):
            live.change_count += 1
            post_funding(state, out, funding)
            credit_funding(state, out, funding)


def on_transfers(state: EngineState, event: TransfersReceived, out: list[AnyOutput]) -> None:
    """Post transfers once (F-46); those that a snapshot brings are the ones that we missed."""
    live = state.live
    if event.generation != state.live_generation:
        state.stale_frame_count += 1
        return
    for transfer in event.transfers:
        is_ours = any(dex_of(coin) == transfer.dex for coin in state.markets)
        is_counted = _is_counted(state, transfer.dex, transfer.venue_ts_ms, is_snapshot=event.is_snapshot)
        if is_ours and is_counted and know_money(live, transfer_key(transfer), state.ts_ns):
            live.change_count += 1
            post_transfer(state, out, transfer)


def _is_counted(state: EngineState, dex: str, venue_ts_ms: int, *, is_snapshot: bool) -> bool:
    # What moved before the read that our account of the cash began with is in it already.
    from_ts_ms = state.live.cash_from_ts_ms.get(dex)
    return not is_snapshot if from_ts_ms is None else venue_ts_ms > from_ts_ms


def report_ready(state: EngineState, out: list[AnyOutput]) -> None:
    """Compare what is missing with what was last said."""
    live = state.live
    reason = ", ".join(_missing(state))
    if live.is_ready is not (not reason) or live.unready_reason != reason:
        live.is_ready, live.unready_reason = not reason, reason
        out.append(TradingReadyChanged(ts_ns=state.ts_ns, mono_ns=state.mono_ns, is_ready=not reason, reason=reason))


def _missing(state: EngineState) -> list[str]:
    live = state.live
    needed = (
        ("connection", state.is_connected),
        ("user channels", len(live.acked_channels) == len(USER_CHANNELS)),
        ("fills snapshot", live.has_snapshot),
        ("fills proved", live.is_fills_proved),
        ("account proved", live.proof.is_proved),
        ("orders out of doubt", not has_doubt(live)),
    )
    return [name for name, is_there in needed if not is_there]


def _begin_record(state: EngineState, event: FillsReceived, out: list[AnyOutput]) -> None:
    # All venue times: our clock has no say in which fill was before the record.
    live = state.live
    live.fills_from_ts_ms = max((fill.venue_ts_ms for fill in event.fills), default=0) + 1
    out.append(RecordBegan(ts_ns=state.ts_ns, mono_ns=state.mono_ns, fills_from_ts_ms=live.fills_from_ts_ms))
