"""Markets of the bench venue: what is listed, quiet quotes, and ticks that cross.

Rule 1: every market has prices of five digits, so that neighbouring ticks differ by an eighth of a basis point.
Rule 2: a crossing tick moves the whole quote past the oracle at its usual width: no gate but the detector sees news.
Rule 3: the price of a crossing tick is its own among all ticks of its market and side, until `TICK_COUNT` are used up.
"""

from dataclasses import dataclass

DEX = "xyz"
ASSET_BASE = 110_000
"""Asset id of the first market of the first builder dex."""
ALWAYS_OPEN = (
    "ADA", "BCH", "BNB", "BTC", "DOGE", "ENA", "ETH", "HYPE", "IP", "LINK", "LIT", "LTC", "PUMP", "SOL", "SUI", "USDE",
    "XMR", "XPL", "XRP", "ZEC",
)  # fmt: skip
"""Names whose underlying trades at every hour: a sidecar with defaults enters no other at the wrong one."""
SZ_DECIMALS = 2
TOUCH_SZ = "2000.0"
TICK_COUNT = 256
"""Different crossing prices of one market and side."""
_SCALE = 1_000
_LEAST_EDGE = 80
"""Least distance of a crossing tick from the oracle, in thousandths: ten basis points."""
_HALF_SPREAD = 4
_MARKET_STEP = 50


@dataclass(frozen=True, slots=True)
class Tick:
    """A bbo that crosses, and what an order that answers it must have."""

    coin: str
    asset_id: int
    is_buy: bool
    px: str
    bid_px: str
    ask_px: str


@dataclass(frozen=True, slots=True)
class BenchMarket:
    """One market, and its frames."""

    index: int

    @property
    def coin(self) -> str:
        """Full name."""
        name = ALWAYS_OPEN[self.index] if self.index < len(ALWAYS_OPEN) else f"B{self.index:03d}"
        return f"{DEX}:{name}"

    @property
    def asset_id(self) -> int:
        """Integer of the wire."""
        return ASSET_BASE + self.index

    @property
    def oracle(self) -> int:
        """Oracle and mark in thousandths."""
        return 80_000 + _MARKET_STEP * self.index

    def quiet_bbo(self, now_ms: int, offset: int = 0, sizes: tuple[str, str] = (TOUCH_SZ, TOUCH_SZ)) -> bytes:
        """Return the bbo around the oracle, moved by `offset` thousandths."""
        middle = self.oracle + offset
        return bbo_frame(self.coin, now_ms, _text(middle - _HALF_SPREAD), _text(middle + _HALF_SPREAD), sizes)

    def ctx(self, offset: int = 0, drift: int = 0, open_interest: str = "5120.24") -> bytes:
        """Return the context that goes with `quiet_bbo`; oracle and mark are moved by `drift` thousandths."""
        oracle, middle = _text(self.oracle + drift), _text(self.oracle + offset)
        text = (
            f'{{"channel":"activeAssetCtx","data":{{"coin":"{self.coin}","ctx":{{"funding":"0.0000125",'
            f'"openInterest":"{open_interest}","prevDayPx":"80.5","dayNtlVlm":"13017726.4","premium":"0.0001",'
            f'"oraclePx":"{oracle}","markPx":"{oracle}","midPx":"{middle}","impactPxs":["{_text(self.oracle - 9)}",'
            f'"{_text(self.oracle + 9)}"],"dayBaseVlm":"162721.58"}}}}}}'
        )
        return text.encode()

    def tick(self, number: int) -> Tick:
        """Return crossing tick `number`: buys and sells in turn, each a little further than the one before."""
        is_buy = number % 2 == 0
        distance = _LEAST_EDGE + number // 2 % TICK_COUNT
        hit = self.oracle - distance if is_buy else self.oracle + distance
        bid, ask = (hit - 2 * _HALF_SPREAD, hit) if is_buy else (hit, hit + 2 * _HALF_SPREAD)
        return Tick(self.coin, self.asset_id, is_buy, _text(hit), _text(bid), _text(ask))


def bbo_frame(coin: str, now_ms: int, bid_px: str, ask_px: str, sizes: tuple[str, str] = (TOUCH_SZ, TOUCH_SZ)) -> bytes:
    """Return a bbo as the venue sends it."""
    sides = f'{{"px":"{bid_px}","sz":"{sizes[0]}","n":3}},{{"px":"{ask_px}","sz":"{sizes[1]}","n":2}}'
    return f'{{"channel":"bbo","data":{{"coin":"{coin}","time":{now_ms},"bbo":[{sides}]}}}}'.encode()


def _text(thousandths: int) -> str:
    whole, fraction = divmod(thousandths, _SCALE)
    return f"{whole}.{fraction:03d}".rstrip("0") if fraction else f"{whole}.0"
