"""Whether a key may be used: its file, its past, and its approval at the venue.

Rule 1: every problem is found in one run, and each says what to do.
Rule 2: an address is retired only when the venue says that it is nobody's agent.
"""

from pathlib import Path

import msgspec

from streaming.core.errors import ConfigError
from streaming.core.units import NS_PER_DAY, NS_PER_MS
from streaming.shell.info.venues import Venue
from streaming.shell.keys.agent_key import KeyFacts, key_facts, read_key
from streaming.shell.keys.approval import EXPIRY_WARN_DAYS, Approval, approval_of
from streaming.shell.keys.files import folder_problem
from streaming.shell.keys.seen import SeenAgents

_DAY_MS = NS_PER_DAY // NS_PER_MS


class KeyReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was found about a key."""

    key_file: str
    is_good: bool
    address: str | None
    age_days: int | None
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    approval: Approval | None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether an agent is gone."""

    address: str
    is_revoked: bool
    approval: Approval
    text: str


def check_key(
    key_file: Path, password_file: Path | None, *, venue: Venue | None, account: str | None, now_ts_ms: int
) -> KeyReport:
    """Check a key file, and with a venue the approval of its address for `account`.

    Raises:
        VenueError: If the venue can not be asked.
        StoreError: If the list of seen agents can not be read.
    """
    facts, problems = _file_facts(key_file, password_file)
    approval = None
    if facts is not None and venue is not None and account is not None:
        approval = approval_of(venue, account, facts.address, now_ts_ms)
        if not approval.is_approved:
            problems.append(_not_approved(approval))
    return KeyReport(
        key_file=str(key_file),
        is_good=not problems,
        address=facts.address if facts else None,
        age_days=(now_ts_ms - facts.made_ts_ms) // _DAY_MS if facts else None,
        problems=tuple(problems),
        warnings=_warnings(facts, approval),
        approval=approval,
    )


def report_text(report: KeyReport) -> str:
    """Return a report for a person."""
    lines = [f"agent {report.address}, {report.age_days} days old"] if report.address else []
    if report.approval is not None and report.approval.is_approved:
        found = report.approval
        name = "without a name" if found.name is None else f"as {found.name!r}"
        end = "its end is not listed" if found.days_left is None else f"{found.days_left} days left"
        lines.append(f"approved by {found.account} on {found.venue} {name}, {end}")
    lines += [f"warning: {warning}" for warning in report.warnings]
    lines += [f"PROBLEM: {problem}" for problem in report.problems]
    return "\n".join([*lines, "good" if report.is_good else "not to be used"])


def verify_revoked(key_file: Path, address: str, venue: Venue, account: str, now_ts_ms: int) -> Verdict:
    """Ask the venue whether `address` is nobody's agent now; if so it is retired for ever.

    Raises:
        VenueError: If the venue can not be asked.
        StoreError: If the retirement can not be kept.
    """
    approval = approval_of(venue, account, address, now_ts_ms)
    if approval.role == "agent":
        text = f"{address} still is an agent on {venue.name}; the master has to approve another address under its name"
        return Verdict(address=address, is_revoked=False, approval=approval, text=text)
    SeenAgents(key_file).retire(address, now_ts_ms)
    text = f"{address} is nobody's agent on {venue.name} and is retired: it is never used or approved again"
    return Verdict(address=address, is_revoked=True, approval=approval, text=text)


def _file_facts(key_file: Path, password_file: Path | None) -> tuple[KeyFacts | None, list[str]]:
    try:
        read_key(key_file, password_file)
        facts = key_facts(key_file)
    except ConfigError as error:
        return None, [str(error)]
    problems = [] if (problem := folder_problem(key_file)) is None else [problem]
    if facts.is_retired:
        problems.append(f"expected an agent that was never deregistered, found {facts.address} retired; make a new key")
    return facts, problems


def _not_approved(approval: Approval) -> str:
    if approval.days_left is not None and approval.days_left < 0:
        return f"expected an approval that holds, found it expired {-approval.days_left} days ago; make a new key"
    return (
        f"expected an agent of {approval.account} on {approval.venue}, found the role {approval.role!r}; the master "
        "approves it in the venue's page, or the account is another one"
    )


def _warnings(facts: KeyFacts | None, approval: Approval | None) -> tuple[str, ...]:
    found = []
    if facts is not None and facts.replacement is not None and not facts.is_retired:
        found.append(f"{facts.replacement} was made to replace it: `hip3 keys revoke` says what is left")
    days_left = approval.days_left if approval else None
    if days_left is not None and 0 <= days_left <= EXPIRY_WARN_DAYS:
        found.append(f"the approval ends in {days_left} days; replace the key now: `hip3 keys rotate`")
    return tuple(found)
