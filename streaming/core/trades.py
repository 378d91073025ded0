"""Public trades, each once: the first frame of a subscription repeats about 20 s, unflagged.

Rule 1: a trade is known by (venue time, coin, tid).
Rule 2: the memory is bounded by time (two minutes) and count; a trade older than what has left it counts as seen.
"""

from streaming.core.effects import AnyOutput, TradesAccepted
from streaming.core.events import Trade, TradesReceived
from streaming.core.state import EngineState, MarketState

MEMORY_MS = 60_000
MEMORY_COUNT_MAX = 4_096


def on_trades(state: EngineState, event: TradesReceived, out: list[AnyOutput]) -> None:
    """Pass on the trades of a frame that were not seen before."""
    if event.generation != state.live_generation:
        state.stale_frame_count += 1
        return
    accepted = tuple([trade for trade in event.trades if _accept(state, trade)])
    newest: dict[str, int] = {}
    for trade in accepted:
        newest[trade.coin] = max(newest.get(trade.coin, 0), trade.venue_ts_ms)
    for coin, venue_ts_ms in newest.items():
        _forget_old(state.markets[coin], venue_ts_ms)
    if accepted:
        out.append(TradesAccepted(ts_ns=state.ts_ns, mono_ns=state.mono_ns, trades=accepted))


def _accept(state: EngineState, trade: Trade) -> bool:
    market = state.markets.get(trade.coin)
    if market is None:
        state.unknown_coin_count += 1
        return False
    tids = market.trade_tids.get(trade.venue_ts_ms)
    if trade.venue_ts_ms <= market.trade_floor_ts_ms or (tids is not None and trade.tid in tids):
        state.duplicate_trade_count += 1
        return False
    if tids is None:
        market.trade_tids[trade.venue_ts_ms] = [trade.tid]
    else:
        tids.append(trade.tid)
    market.trade_count += 1
    return True


def _forget_old(market: MarketState, newest_ts_ms: int) -> None:
    # In large steps, so that the cost per trade stays constant; whole venue milliseconds leave, oldest first, so that
    # the floor is exact.
    times = market.trade_tids
    if market.trade_count <= MEMORY_COUNT_MAX and newest_ts_ms - next(iter(times)) <= 2 * MEMORY_MS:
        return
    for venue_ts_ms in sorted(times):
        if newest_ts_ms - venue_ts_ms > MEMORY_MS or market.trade_count > MEMORY_COUNT_MAX // 2:
            market.trade_count -= len(times.pop(venue_ts_ms))
            market.trade_floor_ts_ms = venue_ts_ms
