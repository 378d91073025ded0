"""Texts of the venue: numbers and market frames spelled as on the wire.

Rule 1: numbers are strings with at least one decimal (`84143.0`), trailing zeros stripped, never an exponent.
Rule 2: frames are built from columns only, so what is played and what is written as history can not differ.
"""

import msgspec

from streaming.sim.markets.generator import NONE, MarketHour
from streaming.sim.scenario.universe import Market

_E10, _E6 = 10, 6
TEXT_COUNT_MAX = 50_000
"""Texts remembered of a market's prices, and of its sizes; a venue runs for weeks."""


def text_of(units: int, decimals: int) -> str:
    """Return a scaled integer as wire text."""
    if decimals == 0:
        return f"{units}.0"
    sign = "-" if units < 0 else ""
    whole, fraction = divmod(abs(units), 10**decimals)
    digits = f"{fraction:0{decimals}d}".rstrip("0")
    return f"{sign}{whole}.{digits or '0'}"


class Texts(dict[int, str]):
    """Scaled integer → wire text, remembered up to a number: the same prices come again and again."""

    def __init__(self, decimals: int) -> None:
        """Make texts of integers with this many decimals."""
        super().__init__()
        self._decimals = decimals

    def __missing__(self, units: int) -> str:
        text = text_of(units, self._decimals)
        if len(self) >= TEXT_COUNT_MAX:
            self.clear()
        self[units] = text
        return text


class MarketTexts:
    """Builds the JSON of one market's frames."""

    def __init__(self, market: Market) -> None:
        """Build frames of `market`."""
        self.coin = market.coin
        self._px = Texts(market.px_decimals)
        self._sz = Texts(market.sz_decimals)
        self._px_decimals = market.px_decimals

    def bbo(self, hour: MarketHour, row: int) -> str:
        """Return the `bbo` frame of one row."""
        bid = self._side(int(hour.bid_px[row]), int(hour.bid_sz[row]))
        ask = self._side(int(hour.ask_px[row]), int(hour.ask_sz[row]))
        time_ms = int(hour.bbo_ts_ms[row])
        return f'{{"channel":"bbo","data":{{"coin":"{self.coin}","time":{time_ms},"bbo":[{bid},{ask}]}}}}'

    def _side(self, px: int, sz: int) -> str:
        if px == NONE:
            return "null"
        # How many orders stand there is nobody's business yet; it only has to look like a count.
        return f'{{"px":"{self._px[px]}","sz":"{self._sz[sz]}","n":{1 + sz % 7}}}'

    def touch(self, hour: MarketHour, row: int) -> list[dict[str, str | int] | None]:
        """Return `[bid, ask]` of one row, equal to what its `bbo` frame says."""
        sides = ((hour.bid_px[row], hour.bid_sz[row]), (hour.ask_px[row], hour.ask_sz[row]))
        return [None if px == NONE else self.level(int(px), int(sz), 1 + int(sz) % 7) for px, sz in sides]

    def ctx(self, hour: MarketHour, row: int) -> dict[str, str | list[str] | None]:
        """Return the asset context of one row, as `metaAndAssetCtxs` and `activeAssetCtx` have it."""
        mid2, premium = int(hour.mid2_px[row]), int(hour.premium_e10[row])
        impact = (int(hour.impact_bid_px[row]), int(hour.impact_ask_px[row]))
        volume, oracle = int(hour.volume_e6[row]), int(hour.oracle_px[row])
        base_volume = volume * 10**self._px_decimals // oracle
        return {
            "funding": text_of(int(hour.funding_e10[row]), _E10),
            "openInterest": self._sz[int(hour.open_interest_sz[row])],
            "prevDayPx": self._px[hour.prev_day_px],
            "dayNtlVlm": text_of(volume, _E6),
            "premium": None if premium == NONE else text_of(premium, _E10),
            "oraclePx": self._px[oracle],
            "markPx": self._px[int(hour.mark_px[row])],
            "midPx": None if mid2 == NONE else self.mid(mid2),
            "impactPxs": None if impact[0] == NONE else [self._px[impact[0]], self._px[impact[1]]],
            "dayBaseVlm": text_of(base_volume, _E6),
        }

    def mid(self, mid2: int) -> str:
        """Return the text of half of `mid2`."""
        return text_of(mid2 * 5, self._px_decimals + 1)

    def trade(self, hour: MarketHour, row: int) -> dict[str, str | int | list[str]]:
        """Return one public trade."""
        tid = int(hour.trade_tid[row])
        return {
            "coin": self.coin,
            "side": "B" if hour.trade_is_buy[row] else "A",
            "px": self._px[int(hour.trade_px[row])],
            "sz": self._sz[int(hour.trade_sz[row])],
            "time": int(hour.trade_ts_ms[row]),
            "hash": f"0x{tid:064x}",
            "tid": tid,
            "users": [f"0x{tid % 9973:040x}", f"0x{tid % 7919:040x}"],
        }

    def level(self, px: int, sz: int, count: int) -> dict[str, str | int]:
        """Return one level of a book."""
        return {"px": self._px[px], "sz": self._sz[sz], "n": count}


def frame(channel: str, data: object) -> str:
    """Return a frame as the venue sends it: compact JSON text."""
    return compact({"channel": channel, "data": data})


def compact(value: object) -> str:
    """Return JSON text without spaces."""
    return msgspec.json.encode(value).decode()
