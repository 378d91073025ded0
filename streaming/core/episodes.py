"""Episodes: a cross as one opportunity, from the first tick over the threshold until it is re-armed.

Rule 1: one episode per market and side at a time, one signal per episode.
Rule 2: an episode that ended without its edge falling back (void book, lost connection, stopped market) leaves its side
unarmed, so that the same standing cross is not counted twice.
"""

from decimal import Decimal

from streaming.core.effects import AnyOutput, EpisodeBegan, EpisodeEnded
from streaming.core.market import Side
from streaming.core.state import EngineState, Episode, MarketState, age_ms
from streaming.core.units import quantize_bps

ORACLE_LED = "oracle_led"
"""The event that crossed is a ctx whose oracle differs from the one before."""
QUOTE_LED = "quote_led"
"""The quote moved."""


def begin(
    state: EngineState, market: MarketState, side: Side, out: list[AnyOutput], *, origin: str, edge_bps: Decimal
) -> Episode:
    """Open an episode and say so; `edge_bps` is the raw edge at the rounded touch."""
    coin = market.spec.coin
    edge_bps = quantize_bps(edge_bps)
    episode = Episode(
        episode_id=f"{coin}-{side}-{state.seq}",
        side=side,
        origin=origin,
        begin_ts_ns=state.ts_ns,
        begin_mono_ns=state.mono_ns,
        tick_count=1,
        entry_edge_bps=edge_bps,
        peak_edge_bps=edge_bps,
        threshold_bps=market.threshold_bps,
    )
    if side is Side.BUY:
        market.buy_episode, market.is_buy_armed = episode, False
    else:
        market.sell_episode, market.is_sell_armed = episode, False
    market.is_quiet = False
    market.episode_count += 1
    state.episode_count += 1
    out.append(
        EpisodeBegan(
            ts_ns=state.ts_ns,
            mono_ns=state.mono_ns,
            coin=coin,
            episode_id=episode.episode_id,
            side=side,
            origin=origin,
            raw_edge_bps=edge_bps,
            threshold_bps=episode.threshold_bps,
        )
    )
    return episode


def tick(episode: Episode, edge_bps: Decimal) -> None:
    """Count a market event of an open episode and keep its largest raw edge."""
    episode.tick_count += 1
    if edge_bps > episode.peak_edge_bps:
        episode.peak_edge_bps = quantize_bps(edge_bps)


def end(
    state: EngineState, market: MarketState, episode: Episode, out: list[AnyOutput], *, ended_by: str, is_armed: bool
) -> None:
    """Close an open episode and write it; `is_armed` says whether the next cross of its side may begin one."""
    if episode.side is Side.BUY:
        market.buy_episode, market.is_buy_armed = None, is_armed
    else:
        market.sell_episode, market.is_sell_armed = None, is_armed
    out.append(
        EpisodeEnded(
            ts_ns=state.ts_ns,
            mono_ns=state.mono_ns,
            coin=market.spec.coin,
            episode_id=episode.episode_id,
            side=episode.side,
            origin=episode.origin,
            begin_ts_ns=episode.begin_ts_ns,
            duration_ms=age_ms(state.mono_ns, episode.begin_mono_ns),
            tick_count=episode.tick_count,
            entry_edge_bps=episode.entry_edge_bps,
            peak_edge_bps=episode.peak_edge_bps,
            threshold_bps=episode.threshold_bps,
            ended_by=ended_by,
        )
    )


def end_all(state: EngineState, market: MarketState, out: list[AnyOutput], ended_by: str) -> None:
    """Close what is open in a market for a reason outside of its prices; the sides stay unarmed."""
    for episode in (market.buy_episode, market.sell_episode):
        if episode is not None:
            end(state, market, episode, out, ended_by=ended_by, is_armed=False)
