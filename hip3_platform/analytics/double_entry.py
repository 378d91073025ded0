"""Conservation of money: postings balance, and our cash moves by what was posted and by nothing else.

Rule 1: the legs of a posting sum to zero per currency, paper or live, to the last digit.
Rule 2: between two reads of the account (`reconciliations`), our cash of a dex moves by exactly the live legs `cash`
and `position` posted in between; both are written down independently of each other.
Rule 3: the last judged read of a session names no position that differs, and cash that differs by less than a cent or a
basis point of what was traded: the venue rounds, and we keep all digits. One earlier read alone proves nothing (F-45).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import polars as pl

from hip3_platform.analytics.bronze import NO_MARKET
from hip3_platform.analytics.frames import markets_of, read_market

LEDGER_COLUMNS = ("session_id", "seq", "coin", "posting_id", "mode", "account", "amount", "currency", "reason")
READ_COLUMNS = (
    "session_id",
    "seq",
    "ordinal",
    "dex",
    "expected_cash",
    "difference",
    "position_mismatches",
    "is_judged",
)
COLLATERAL = "USDC"
"""Currency of the cash that reads compare; a fee in another token sets the stop latch instead."""
CENT = Decimal("0.01")
BPS_OF_TURNOVER = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class Conservation:
    """What was compared, and everything that does not add up."""

    posting_count: int
    read_count: int
    interval_count: int
    """Pairs of reads between which our cash was compared with the postings."""
    difference_max: Decimal
    """Largest difference of any judged read, unsigned."""
    failures: tuple[str, ...]


def conserve(ledger: pl.DataFrame, reads: pl.DataFrame) -> Conservation:
    """Compare postings with each other and with the reads of the account.

    Args:
        ledger: Rows of table `ledger` with `LEDGER_COLUMNS`.
        reads: Rows of table `reconciliations` with `READ_COLUMNS`.
    """
    key = ["session_id", "mode", "posting_id", "currency"]
    sums = _sums(ledger, key)
    failures = [f"posting {at[2]} of {at[0]}: legs sum to {total} {at[3]}" for at, total in sums.items() if total]
    judged = reads.filter("is_judged").sort("session_id", "seq", "ordinal")
    intervals = 0
    for (session_id, dex), own in judged.group_by("session_id", "dex", maintain_order=True):
        moves = _moves(ledger, str(session_id), str(dex))
        steps = list(_steps(own, moves))
        intervals += len(steps)
        failures += [f"{session_id} {dex or 'validator dex'}: {text}" for text in steps if text]
        failures += _last_read(str(session_id), str(dex), own.row(-1, named=True), moves)
    return Conservation(
        posting_count=len({at[:3] for at in sums}),
        read_count=judged.height,
        interval_count=intervals,
        difference_max=max((abs(d) for d in judged["difference"]), default=Decimal(0)),
        failures=tuple(failures),
    )


def conserve_day(root: Path, venue: str, day: str) -> Conservation:
    """Judge the bronze files of one day."""
    coins = (*markets_of(root, venue, day, ("ledger",)), NO_MARKET)
    ledger = pl.concat([read_market(root, "ledger", venue, day, coin, LEDGER_COLUMNS) for coin in coins])
    return conserve(ledger, read_market(root, "reconciliations", venue, day, NO_MARKET, READ_COLUMNS))


def _sums(rows: pl.DataFrame, key: list[str]) -> dict[tuple[str, ...], Decimal]:
    sums: dict[tuple[str, ...], Decimal] = {}
    for *at, amount in rows.select(*key, "amount").iter_rows():
        place = tuple(at)
        sums[place] = sums.get(place, Decimal(0)) + amount
    return sums


@dataclass(frozen=True, slots=True)
class _Moves:
    """Live postings of one session and dex, in order."""

    amounts: list[tuple[int, Decimal]]
    """(seq, what cash moved by once the position is counted in)."""
    turnover: Decimal

    def between(self, after_seq: int, to_seq: int) -> Decimal:
        return sum((amount for seq, amount in self.amounts if after_seq < seq <= to_seq), Decimal(0))


def _moves(ledger: pl.DataFrame, session_id: str, dex: str) -> _Moves:
    own = ledger.filter(
        (pl.col("session_id") == session_id)
        & (pl.col("mode") == "live")
        & (pl.col("currency") == COLLATERAL)
        & pl.col("account").is_in(["cash", "position"])
    )
    rows = [row for row in own.iter_rows(named=True) if row["coin"].rpartition(":")[0] == dex]
    traded = (abs(row["amount"]) for row in rows if row["account"] == "cash" and row["reason"] == "fill")
    return _Moves([(row["seq"], row["amount"]) for row in rows], sum(traded, Decimal(0)))


def _steps(own: pl.DataFrame, moves: _Moves) -> Iterator[str]:
    """Yield for each pair of neighbouring reads what does not add up; empty when it does."""
    rows = own.select("seq", "expected_cash").rows()
    for (seq, cash), (next_seq, next_cash) in pairwise(rows):
        if cash is None or next_cash is None:
            continue  # the starting point was taken anew: an operator took positions over
        posted = moves.between(seq, next_seq)
        moved = next_cash - cash
        yield "" if moved == posted else f"seq {seq}-{next_seq}: cash moved by {moved}, postings say {posted}"


def _last_read(session_id: str, dex: str, row: dict[str, object], moves: _Moves) -> Iterator[str]:
    difference = row["difference"]
    where = f"{session_id} {dex or 'validator dex'}: last read"
    if row["position_mismatches"]:
        yield f"{where}: positions differ: {row['position_mismatches']}"
    if isinstance(difference, Decimal) and abs(difference) >= max(CENT, moves.turnover * BPS_OF_TURNOVER):
        yield f"{where}: the venue's cash differs by {difference}"
