"""A made-up day in bronze, fast: the columns, types and layout of the contract, with plausible crosses of the oracle.

A true price walks and jumps. The oracle publishes it every 3 to 4 s; the quote follows a little later and with noise.
So most jumps cross the oracle: quote-led until it is published again, oracle-led where the quote was slower.
The rest is as it comes: missing sides, a new connection twice a day, a change of the fee at noon, sidecar tables.
Rule 1: a day follows from its seed, its name and the shape: a bench that is run again reads the same rows.
Rule 2: files are written by the function that writes bronze, so what is read is what the platform reads.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hip3_platform.analytics.bronze import write_market
from streaming.contracts.paths import bronze_path, day_begin_ns
from streaming.contracts.tables import TABLES
from streaming.core.effects import GateId
from streaming.core.units import NS_PER_MS, NS_PER_S

VENUE = "sim"
SEED = 7
DAY_S = 86_400
_E8 = 10**8
_GRID_S = 0.25
_HOLE_S = 3.0
_HEALTH_S = 5
_EPISODES, _SIGNALS = 250, 80
_NAMES = [
    "AAPL",
    "AMAT",
    "AMD",
    "AMZN",
    "ARM",
    "ASML",
    "AVGO",
    "BABA",
    "COIN",
    "COST",
    "CRCL",
    "CRWV",
    "DELL",
    "GME",
    "GOOGL",
    "HOOD",
    "IBM",
    "INTC",
    "LLY",
    "META",
    "MSFT",
    "MSTR",
    "MU",
    "NFLX",
    "NVDA",
    "ORCL",
    "PLTR",
    "QCOM",
    "RIVN",
    "SNDK",
    "TSLA",
    "TSM",
    "SP500",
    "XYZ100",
    "VIX",
    "DXY",
    "USTECH",
    "SMALL2000",
    "ALUMINIUM",
    "COPPER",
    "GOLD",
    "PALLADIUM",
    "PLATINUM",
    "SILVER",
    "BRENTOIL",
    "CL",
    "NATGAS",
    "TTF",
    "WTIOIL",
    "EUR",
    "GBP",
    "JPY",
    "CHF",
    "BTC",
    "ETH",
    "SOL",
    "HYPE",
    "XRP",
    "ANTHROPIC",
    "SPACEX",
]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Columns = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a day is."""

    market_count: int = 60
    bbo_rows: int = 20_000_000
    """Of all markets together."""
    ctx_rows: int = 5_000_000

    @property
    def coins(self) -> tuple[str, ...]:
        """Markets of the day: known underlyings of every kind, so that their hours are asked as on the venue."""
        return tuple(f"xyz:{_NAMES[at % len(_NAMES)]}{at // len(_NAMES) or ''}" for at in range(self.market_count))

    def scaled(self, share: float, market_count: int | None = None) -> "Shape":
        """Return a day with that share of the rows."""
        markets = market_count or self.market_count
        return Shape(markets, max(int(self.bbo_rows * share), markets), max(int(self.ctx_rows * share), markets))


def write_day(root: Path, day: str, shape: Shape, tell: Callable[[str], None] = lambda _: None) -> None:
    """Write bronze of one day: bbo and ctx of `shape`, and the small tables that daily metrics and episodes read."""
    begin_ns = day_begin_ns(day)
    with ThreadPoolExecutor(2) as pool:
        jobs = [
            pool.submit(_write_market, root, day, begin_ns, (at, coin), shape) for at, coin in enumerate(shape.coins)
        ]
        for done, job in enumerate(jobs, start=1):
            job.result()
            if done % 20 == 0:
                tell(f"made {done} of {len(jobs)} markets of {day}")


def _write_market(root: Path, day: str, begin_ns: int, market: tuple[int, str], shape: Shape) -> None:
    place, coin = market
    for table, columns in _tables(np.random.default_rng((SEED, begin_ns // NS_PER_S, place)), begin_ns, place, shape):
        path = bronze_path(root, table=table, venue=VENUE, day=day, coin=coin)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_market(rows_of(table, coin, columns), path)


def _tables(rng: np.random.Generator, begin_ns: int, place: int, shape: Shape) -> list[tuple[str, Columns]]:
    bbo_count, ctx_count = shape.bbo_rows // shape.market_count, shape.ctx_rows // shape.market_count
    cuts = np.sort(rng.uniform(0.0, DAY_S, 2))
    bbo_s = np.sort(rng.uniform(0.0, DAY_S - 2 * _HOLE_S, bbo_count))
    # Once a second, give or take: a feed that is silent for 8 s is a gap.
    ctx_s = (np.arange(ctx_count) + rng.uniform(0.0, 0.8, ctx_count)) * ((DAY_S - 2 * _HOLE_S) / ctx_count)
    stamps = [_receipt(seconds, cuts, begin_ns) for seconds in (bbo_s, ctx_s)]
    seqs = _sequence(stamps[0]["recv_ts_ns"], stamps[1]["recv_ts_ns"], place, shape.market_count)
    walk = _walk(rng)
    base = float(rng.uniform(20.0, 500.0))
    tick = 10 ** (int(np.floor(np.log10(base))) + 4)
    versions = [f"spec{place:03d}a", f"spec{place:03d}b"]
    books = _books(rng, walk, bbo_s, (base, tick)) | stamps[0] | {"seq": seqs[0]}
    books |= {"venue_ts_ms": books["recv_ts_ns"] // NS_PER_MS - 40, "spec_version": _version(bbo_s, versions)}
    contexts = _contexts(rng, walk, ctx_s, (base, tick)) | stamps[1] | {"seq": seqs[1]}
    contexts["spec_version"] = _version(ctx_s, versions)
    specs: Columns = {
        "seq": np.arange(2), "ts_ns": begin_ns + np.arange(2),
        "taker_fee_bps": _decimals(np.array([900_000, 450_000]), digits=6),
        "spec_version": versions, "is_delisted": np.zeros(2, dtype=np.bool_),
    }  # fmt: skip
    return [("bbo", books), ("ctx", contexts), ("specs", specs), *_sidecar_tables(rng, begin_ns, base)]


def _walk(rng: np.random.Generator) -> Floats:
    """True price, bps of its begin, four times a second."""
    count = int(DAY_S / _GRID_S)
    jumps = np.where(rng.random(count) < 5e-4, rng.normal(0.0, 12.0, count), 0.0)
    return np.cumsum(rng.normal(0.0, 0.3, count) + jumps)


def _at(walk: Floats, seconds: Floats) -> Floats:
    return walk[np.clip(seconds / _GRID_S, 0, walk.size - 1).astype(np.int64)]


def _receipt(seconds: Floats, cuts: Floats, begin_ns: int) -> Columns:
    """Wall and monotonic clock and connection; a new connection leaves a hole."""
    generation = 1 + np.searchsorted(cuts, seconds)
    ns = ((seconds + _HOLE_S * (generation - 1)) * NS_PER_S).astype(np.int64)
    return {"recv_ts_ns": begin_ns + ns, "recv_mono_ns": 10**12 + ns, "generation": generation}


def _sequence(bbo_ns: Ints, ctx_ns: Ints, place: int, market_count: int) -> tuple[Ints, Ints]:
    """Journal numbers in the order of receipt; those between belong to other markets."""
    order = np.argsort(np.concatenate([bbo_ns, ctx_ns]), kind="stable")
    seq = np.empty(order.size, dtype=np.int64)
    seq[order] = np.arange(order.size) * market_count + place
    return seq[: bbo_ns.size], seq[bbo_ns.size :]


def _books(rng: np.random.Generator, walk: Floats, seconds: Floats, scale: tuple[float, int]) -> Columns:
    base, tick = scale
    count = seconds.size
    lag_s, half_bps = rng.uniform(0.2, 1.5), rng.uniform(1.0, 4.0)
    mid = base * (1 + (_at(walk, seconds - lag_s) + rng.normal(0.0, 0.5, count)) / 1e4)
    half = mid * (half_bps * rng.uniform(0.8, 1.2, count)) / 1e4
    bid, ask = np.floor((mid - half) * _E8 / tick), np.ceil((mid + half) * _E8 / tick)
    lots = rng.geometric(0.02, (2, count)) * (_E8 // 10)
    is_bid, is_ask = rng.random((2, count)) > 1e-3
    return {
        "bid_px": _decimals(bid.astype(np.int64) * tick, is_bid), "bid_sz": _decimals(lots[0], is_bid),
        "ask_px": _decimals(ask.astype(np.int64) * tick, is_ask), "ask_sz": _decimals(lots[1], is_ask),
    }  # fmt: skip


def _contexts(rng: np.random.Generator, walk: Floats, seconds: Floats, scale: tuple[float, int]) -> Columns:
    base, tick = scale
    count = seconds.size
    published_s = np.floor(seconds / 3.5 + rng.random()) * 3.5
    oracle = np.rint(base * (1 + _at(walk, published_s) / 1e4) * _E8 / tick).astype(np.int64)
    mark = oracle + rng.integers(-1, 2, count)
    return {
        "oracle_px": _decimals(oracle * tick), "mark_px": _decimals(mark * tick), "mid_px": _decimals(mark * tick),
        "impact_bid_px": _decimals((mark - 3) * tick), "impact_ask_px": _decimals((mark + 3) * tick),
        "open_interest_sz": rng.uniform(1e3, 1e5, count), "funding_ratio": rng.normal(0.0, 1e-5, count),
        "premium_ratio": rng.normal(0.0, 1e-4, count), "day_ntl_vlm_usd": rng.uniform(1e5, 1e7, count),
    }  # fmt: skip


def _version(seconds: Floats, versions: list[str]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array((seconds >= DAY_S / 2).astype(np.int32)), pa.array(versions))


def _sidecar_tables(rng: np.random.Generator, begin_ns: int, base: float) -> list[tuple[str, Columns]]:
    def times(count: int) -> Ints:
        return begin_ns + np.sort(rng.integers(0, DAY_S * NS_PER_S, count))

    def bps(count: int) -> pa.Array:
        return _decimals(rng.integers(-5_000_000, 60_000_000, count), digits=6)

    def sides(count: int) -> list[str]:
        return [("buy", "sell")[at] for at in rng.integers(0, 2, count)]

    episodes: Columns = {
        "seq": np.arange(_EPISODES), "episode_id": [f"e{at}" for at in range(_EPISODES)],
        "begin_ts_ns": times(_EPISODES), "end_ts_ns": times(_EPISODES), "side": sides(_EPISODES),
        "origin": [("oracle_led", "quote_led")[at] for at in rng.integers(0, 2, _EPISODES)],
        "duration_ms": rng.integers(0, 60_000, _EPISODES), "tick_count": rng.integers(1, 30, _EPISODES),
        "peak_edge_bps": bps(_EPISODES),
    }  # fmt: skip
    blocked = [("", "halt", "halt,oi_cap", "stop_latch")[at] for at in rng.integers(0, 4, _SIGNALS)]
    names = [f"s{at}" for at in range(_SIGNALS)]
    signal_ns = times(_SIGNALS)
    signals: Columns = {
        "seq": np.arange(_SIGNALS), "signal_id": names, "ts_ns": signal_ns, "side": sides(_SIGNALS),
        "raw_edge_bps": bps(_SIGNALS), "net_edge_bps": bps(_SIGNALS), "blocked_by": blocked,
        "is_blocked": np.array([bool(each) for each in blocked]),
        "limit_px": _decimals(np.full(_SIGNALS, int(base * _E8))),
        "ctx_age_ms": rng.integers(0, 4_000, _SIGNALS), "bbo_age_ms": rng.integers(0, 900, _SIGNALS),
    }  # fmt: skip
    gates: Columns = {
        "seq": np.repeat(np.arange(_SIGNALS), len(GateId)), "ts_ns": np.repeat(signal_ns, len(GateId)),
        "signal_id": [name for name in names for _ in GateId], "gate": [gate.value for _ in names for gate in GateId],
        "status": ["pass"] * (_SIGNALS * len(GateId)),
    }  # fmt: skip
    count = DAY_S // _HEALTH_S
    is_known = rng.random(count) > 0.01
    health: Columns = {
        "seq": np.arange(count), "ts_ns": begin_ns + np.arange(count) * (_HEALTH_S * NS_PER_S),
        "is_ready": rng.random(count) < 0.98, "is_oracle_stale": rng.random(count) < 0.02,
        "is_spread_shock": rng.random(count) < 0.05, "rate_use_ratio": rng.uniform(0.0, 0.5, count),
        "ctx_age_ms": pa.array(rng.integers(0, 4_000, count), mask=~is_known),
        "bbo_age_ms": pa.array(rng.integers(0, 900, count), mask=~is_known), "spread_bps": bps(count),
    }  # fmt: skip
    return [("episodes", episodes), ("signals", signals), ("gates", gates), ("health", health)]


def rows_of(table: str, coin: str, columns: Columns) -> pa.Table:
    """Return rows of a contract table; one that is not named is null, or zero where it must be there."""
    spec = TABLES[table]
    count = len(columns["seq"])
    common = {"venue": VENUE, "config_hash": "0" * 64, "session_id": "bench", "coin": coin, "asset_id": 110_000}
    arrays = []
    for column in spec.columns:
        value = columns.get(column.name, common.get(column.name))
        if value is None and column.is_nullable:
            arrays.append(pa.nulls(count, column.type))
        elif value is None or column.name in common:
            zero: Any = {"string": "", "bool": False}.get(str(column.type), 0)
            arrays.append(
                pa.array([zero if value is None else value], column.type).take(np.zeros(count, dtype=np.int64))
            )
        else:
            array = value if isinstance(value, pa.Array) else pa.array(value)
            arrays.append(array.cast(column.type))
    return pa.Table.from_arrays(arrays, schema=spec.schema)


def _decimals(values: Ints, is_there: NDArray[np.bool_] | None = None, digits: int = 8) -> pa.Array:
    """Return whole multiples of the last digit as decimals, without a detour over text."""
    words = np.empty((values.size, 2), dtype=np.int64)
    words[:, 0], words[:, 1] = values, values >> 63
    valid = None if is_there is None else pa.py_buffer(np.packbits(is_there, bitorder="little").tobytes())
    return pa.Array.from_buffers(pa.decimal128(18, digits), values.size, [valid, pa.py_buffer(words)])
