"""What the checks of the day said: whether the rows that everything else rests on may be believed."""

import polars as pl

from hip3_platform.analytics.day_checks import FAILED, NOT_RUN, PASSED, states_of
from hip3_platform.looks.files import JUDGE, Files
from hip3_platform.looks.page import Section, Table

_SHOWN = {
    "table": "table", "check": "check", "state": "state", "severity": "severity", "is_blocking": "blocking",
    "finding": "finding", "at": "asked at, UTC",
}  # fmt: skip


def checks(files: Files) -> Section:
    """Every check of the day with its last look; what did not run says so."""
    note = (
        "Failed checks first, then those that did not run. An error of a blocking check stops what is made of its "
        "table; a warning is an odd market, and the day goes on. A check that ran before more of the day had landed "
        "counts as not run."
    )
    looks = files.checks()
    frame = states_of(looks)
    at = pl.from_epoch("at_ts_ns", time_unit="ns").dt.strftime("%Y-%m-%d %H:%M:%S")
    table = Table.of(frame.with_columns(at=at), _SHOWN, nothing={"at": "never"})
    counts = ", ".join(f"{(frame['state'] == state).sum()} {state}" for state in (PASSED, FAILED, NOT_RUN))
    missing = [] if looks is not None else [f"The record of checks of {files.day} is missing: {JUDGE}."]
    return Section("Checks", note, [table], missing=missing, remarks=[f"{counts}."])
