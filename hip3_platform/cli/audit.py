"""The proof at the end of trading: our tables against the simulated venue's own account, fill by fill and to the cent.

Rule 1: our side is read from sealed parts, as anybody else would read them; the venue's side from its public `/info`.
Rule 2: nothing of ours may be under way: either the sidecar has ended, or it is disarmed and flat. Then the ledger's
cash is what the account gained, and both sides can be equal to the last digit.
Rule 3: every disagreement is named; none is explained away.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import msgspec
import polars as pl

from hip3_platform.analytics.double_entry import CENT, LEDGER_COLUMNS, READ_COLUMNS, Conservation, conserve
from hip3_platform.analytics.execution import COLUMNS, execution_figures
from hip3_platform.analytics.landing import read_landing
from hip3_platform.cli.plan import StageFailed
from streaming.contracts.tables import TABLES

DEXES = ("xyz", "")
"""The venue's dexes: an account has money on each of them."""
SEALED_S = 100.0
"""A segment is closed after a minute and sealed by a process of low priority."""
POLL_S = 0.5
SHOWN = 3
OPEN_STATES = ("intent", "sent", "resting", "in_doubt")
FILL_COLUMNS = ("session_id", "mode", "tid", "oid", "cloid", "coin", "side", "px", "sz", "fee", "fee_token",
                "venue_ts_ms")  # fmt: skip
_SIDES = {"B": "buy", "A": "sell"}


@dataclass(frozen=True)
class VenueAccount:
    """What the venue says about an account."""

    value_usd: Decimal
    """Of all dexes together; what is open is in it at its mark."""
    position_count: int
    order_count: int
    fills: dict[int, tuple[Any, ...]]
    """Trade id → the fill's fields, in the order of `_fill_of`."""

    @staticmethod
    def read(url: str, address: str) -> "VenueAccount":
        """Ask the venue; raises StageFailed if it does not answer."""
        states = [_info(url, "clearinghouseState", address, dex) for dex in DEXES]
        return VenueAccount(
            value_usd=sum((Decimal(state["marginSummary"]["accountValue"]) for state in states), Decimal(0)),
            position_count=sum(len(state["assetPositions"]) for state in states),
            order_count=sum(len(_info(url, "openOrders", address, dex)) for dex in DEXES),
            fills={fill["tid"]: _fill_of(fill) for fill in _info(url, "userFills", address)},
        )


@dataclass(frozen=True)
class Books:
    """Our sealed rows of one session."""

    tables: dict[str, pl.DataFrame]

    @staticmethod
    def read(warehouse: Path, session_id: str) -> "Books":
        """Read what is sealed of a session so far."""
        columns = {
            **{name: COLUMNS[name] for name in ("orders", "round_trips", "actions")},
            "fills": (*FILL_COLUMNS, *COLUMNS["fills"]),
            "ledger": LEDGER_COLUMNS,
            "reconciliations": READ_COLUMNS,
        }
        return Books({name: _sealed(warehouse, session_id, name, chosen) for name, chosen in columns.items()})

    @property
    def fills(self) -> dict[int, tuple[Any, ...]]:
        """Trade id → the fill's fields, as `VenueAccount.fills`."""
        rows = self.tables["fills"].filter(pl.col("mode") == "live")
        names = FILL_COLUMNS[3:]
        return {row[0]: row for row in rows.select("tid", *names).unique().iter_rows()}  # fmt: skip

    @property
    def cash_usd(self) -> Decimal:
        """Sum of all live cash legs: what the account gained since the session began, once it is flat."""
        cash = self.tables["ledger"].filter((pl.col("mode") == "live") & (pl.col("account") == "cash"))
        return sum(cash["amount"], Decimal(0))

    @property
    def open_orders(self) -> list[str]:
        """Orders whose last row does not say how they ended."""
        live = self.tables["orders"].filter(pl.col("mode") == "live").sort("seq", "ordinal")
        last = live.group_by("cloid", maintain_order=True).last().filter(pl.col("status").is_in(OPEN_STATES))
        return [f"{cloid} {status}" for cloid, status in last.select("cloid", "status").iter_rows()]


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """Both sides and every disagreement."""

    trades: int
    """Fills of our signed orders: rows of table `fills`, mode live, one a trade id."""
    venue_trades: int
    fills_equal: bool
    ledger_usd: Decimal
    """Sum of the ledger's live cash legs."""
    venue_usd: Decimal
    """What the venue says the account gained."""
    ledger_difference_usd: Decimal
    postings: int
    reconciliations: int
    reconciliation_difference_usd: Decimal
    """Largest of any judged read."""
    orders_open: int
    """Ours without an end, in doubt among them, and the venue's resting ones."""
    positions_left: int
    figures: dict[str, Any]
    """As gold/daily_execution, over all markets."""
    failures: tuple[str, ...]

    @property
    def text(self) -> str:
        """One line for a person."""
        return (
            f"audit: {self.trades} trades, the venue has {self.venue_trades}, "
            f"{'equal' if self.fills_equal else 'NOT EQUAL'} row for row; ledger {self.ledger_usd:+f} USD, venue "
            f"{self.venue_usd:+f} USD, difference {usd_text(self.ledger_difference_usd)}; {self.reconciliations} reads "
            f"of the account, largest difference {usd_text(self.reconciliation_difference_usd)}; "
            f"{self.positions_left} positions left"
        )


def usd_text(amount: Decimal) -> str:
    """Return an amount without an exponent and without zeros at its end."""
    return f"{amount.normalize():f}"


def audit(books: Books, venue: VenueAccount, opening_usd: Decimal) -> Audit:
    """Compare our books with the venue's account, which had `opening_usd` when the session began."""
    ours = books.fills
    money = conserve(books.tables["ledger"], books.tables["reconciliations"])
    gained_usd = venue.value_usd - opening_usd
    difference_usd = gained_usd - books.cash_usd
    failures = [
        *_fill_failures(ours, venue.fills),
        *_money_failures(money, difference_usd),
        *(f"order without an end: {text}" for text in books.open_orders[:SHOWN]),
    ]
    failures += [f"{venue.position_count} positions left at the venue"] if venue.position_count else []
    failures += [f"{venue.order_count} orders rest at the venue"] if venue.order_count else []
    return Audit(
        trades=len(ours),
        venue_trades=len(venue.fills),
        fills_equal=ours == venue.fills,
        ledger_usd=books.cash_usd,
        venue_usd=gained_usd,
        ledger_difference_usd=difference_usd,
        postings=money.posting_count,
        reconciliations=money.read_count,
        reconciliation_difference_usd=money.difference_max,
        orders_open=len(books.open_orders) + venue.order_count,
        positions_left=venue.position_count,
        figures=execution_figures(books.tables),
        failures=tuple(failures),
    )


def sealed_books(
    warehouse: Path, session_id: str, venue: VenueAccount, watch: Callable[[], None], patience_s: float = SEALED_S
) -> Books:
    """Read our books once as many fills are sealed as the venue has, or patience is over: then `audit` says what lacks.

    Args:
        warehouse: Where.
        session_id: Of the sidecar.
        venue: Its account, with nothing of ours under way.
        watch: Raises when a child has died.
        patience_s: How long to wait for the projection.
    """
    begun = time.monotonic()
    while True:
        books = Books.read(warehouse, session_id)
        if len(books.fills) >= len(venue.fills) and not books.open_orders:
            return books
        if time.monotonic() - begun > patience_s:
            return books
        watch()
        time.sleep(POLL_S)


def _fill_failures(ours: dict[int, tuple[Any, ...]], theirs: dict[int, tuple[Any, ...]]) -> Iterator[str]:
    for name, tids in (("the venue", theirs.keys() - ours.keys()), ("our table", ours.keys() - theirs.keys())):
        if tids:
            yield f"{len(tids)} fills only {name} has, such as tid {min(tids)}"
    unequal = sorted(tid for tid in ours.keys() & theirs.keys() if ours[tid] != theirs[tid])
    for tid in unequal[:SHOWN]:
        yield f"fill {tid}: ours {ours[tid]}, the venue's {theirs[tid]}"


def _money_failures(money: Conservation, difference_usd: Decimal) -> Iterator[str]:
    yield from money.failures[:SHOWN]
    if not money.read_count:
        yield "no read of the account was judged"
    if abs(difference_usd) >= CENT:
        yield f"the venue's account gained {difference_usd:+} USD more than our ledger says"


def _fill_of(fill: dict[str, Any]) -> tuple[Any, ...]:
    # Fields in the order of FILL_COLUMNS from tid on.
    return (
        fill["tid"], fill["oid"], fill.get("cloid") or "", fill["coin"], _SIDES[fill["side"]], Decimal(fill["px"]),
        Decimal(fill["sz"]), Decimal(fill["fee"]), fill["feeToken"], fill["time"],
    )  # fmt: skip


def _sealed(warehouse: Path, session_id: str, table: str, columns: tuple[str, ...]) -> pl.DataFrame:
    lines = [line for line in read_landing(warehouse, "sim").lines if line.session_id == session_id]
    paths = [warehouse / line.path for line in lines if line.table == table]
    chosen = list(dict.fromkeys(columns))
    empty = pl.DataFrame(pl.from_arrow(TABLES[table].schema.empty_table())).select(chosen)
    return pl.concat([empty, *(pl.read_parquet(path, columns=chosen) for path in paths)])


def _info(url: str, kind: str, address: str, dex: str | None = None) -> Any:  # noqa: ANN401 - JSON
    body = {"type": kind, "user": address} | ({} if dex is None else {"dex": dex})
    try:
        answer = httpx.post(f"{url}/info", json=body, timeout=10, trust_env=False)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise StageFailed(f"the venue does not answer {kind}: {error}") from error
    return answer.json()
