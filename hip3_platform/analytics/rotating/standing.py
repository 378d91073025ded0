"""Who is in: a state per market from one day to the next, changed as rarely as the evidence lets it.

Source: evidence method, section 9. A pure function of yesterday's state and today's rows; no clock.
Rule 1: a market qualifies while the evidence in force allows it, nothing blacklists it, and its score is above 0. After
2 consecutive days of that and 1 shadow day, on which it is named and traded on paper, it may enter. A missing day
breaks the row.
Rule 2: it enters a free place, or replaces the weakest member that stayed for 3 days if its score is above that one's
by more than the hysteresis: 0.7 x the median standard error of all markets.
Rule 3: a member leaves at once if it is blacklisted, no longer allowed, without a score, or mean + 1 se < 0. A score
that is merely not positive is no reason to leave.
Rule 4: at most 2 changes a day. Rule 3 is never held back; it leaves fewer entries for that day.
Rule 5: where additions need approval, one that would enter is proposed instead, day by day, and changes nothing until
an operator approves it; what it would replace goes on until then.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from streaming.contracts.rotation import Decision


@dataclass(frozen=True, slots=True)
class StandingRule:
    """How many markets, and how reluctantly they change."""

    market_count_max: int = 5
    confirm_days: int = 2
    shadow_days: int = 1
    stay_days: int = 3
    change_count_max: int = 2
    hysteresis_ratio: float = 0.7

    @property
    def ready_days(self) -> int:
        """Consecutive qualifying days after which a market may enter."""
        return self.confirm_days + self.shadow_days


@dataclass(frozen=True, slots=True)
class Candidate:
    """One watched market today."""

    coin: str
    mean_usd: float | None
    se_usd: float | None
    score_usd: float | None
    """None is unknown, which never enters and never stays."""
    is_allowed: bool
    """The evidence in force allows it in this phase."""
    reason: str
    """What the evidence says, in words."""
    blacklisted: str = ""
    """Why it is on the list; empty when it is not."""

    @property
    def qualifies(self) -> bool:
        """Whether today counts towards its entry."""
        return self.is_allowed and not self.blacklisted and self.score_usd is not None and self.score_usd > 0

    @property
    def figures(self) -> str:
        """Its figures in words."""
        if self.mean_usd is None or self.se_usd is None or self.score_usd is None:
            return "no score"
        return f"{self.mean_usd:+.2f} ± {self.se_usd:.2f} USD a day, lower bound {self.score_usd:+.2f}"


@dataclass(frozen=True, slots=True)
class State:
    """What the next day needs to know."""

    day: str | None
    confirmed: Mapping[str, int] = field(default_factory=dict)
    """Market → consecutive qualifying days, counted up to `ready_days`."""
    since: Mapping[str, str] = field(default_factory=dict)
    """Member → as-of day on which it entered."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What was decided about one market."""

    coin: str
    decision: Decision
    reason: str
    confirmed_days: int
    member_since: str | None
    against: str = ""
    against_score_usd: float | None = None
    replaces: str = ""
    """The member that leaves for it, or would."""


NOTHING_BEFORE = State(day=None)


def days_between(earlier: str, later: str) -> int:
    """Return the number of days from one day to another."""
    return (date.fromisoformat(later) - date.fromisoformat(earlier)).days


def hysteresis_usd(candidates: Sequence[Candidate], rule: StandingRule) -> float:
    """Return by how much a challenger must be better: a share of the median standard error of the markets scored."""
    errors = [c.se_usd for c in candidates if c.se_usd is not None]
    return rule.hysteresis_ratio * statistics.median(errors) if errors else 0.0


def decide(
    previous: State, candidates: Sequence[Candidate], day: str, rule: StandingRule, *, needs_approval: bool
) -> tuple[Standing, ...]:
    """Decide about every market of `candidates` and every member of before.

    Returns:
        One standing a market, sorted by name.

    Raises:
        ValueError: If a market occurs twice, or `previous` is not of an earlier day.
    """
    if previous.day is not None and previous.day >= day:
        raise ValueError(f"expected the state of a day before {day}, found one of {previous.day}")
    today = _Today(previous, candidates, day, rule, needs_approval=needs_approval)
    return tuple(today.standing_of(coin) for coin in sorted(today.candidates))


class _Today:
    """The work of one day: drops, then entries, then words."""

    def __init__(
        self, previous: State, candidates: Sequence[Candidate], day: str, rule: StandingRule, *, needs_approval: bool
    ) -> None:
        self.day, self.rule, self.needs_approval = day, rule, needs_approval
        self.candidates = {c.coin: c for c in candidates}
        if len(self.candidates) != len(candidates):
            raise ValueError("expected every market once among the candidates")
        for coin in previous.since:
            if coin not in self.candidates:
                self.candidates[coin] = Candidate(coin, None, None, None, False, "it was not watched on this day")
        self.since = dict(previous.since)
        self.hysteresis = hysteresis_usd(candidates, rule)
        is_next_day = previous.day is not None and days_between(previous.day, day) == 1
        before = previous.confirmed if is_next_day else {}
        self.confirmed = {
            coin: min(before.get(coin, 0) + 1, rule.ready_days) if c.qualifies else 0
            for coin, c in self.candidates.items()
        }
        self.drops = {coin: why for coin in self.since if (why := self._why_leave(self.candidates[coin]))}
        self._drop_surplus()
        self.kept = sorted(coin for coin in self.since if coin not in self.drops)
        self.entries: dict[str, str] = {}
        """Market that enters, or is proposed → market it replaces, "" for a free place."""
        self.waits: dict[str, tuple[str, str]] = {}
        """Market that is ready and does not enter → why, against which."""
        self._enter()
        members = {*self.kept, *self.entries}
        outside = [c for c in self.candidates.values() if c.coin not in members and c.qualifies]
        self.runner_up = min(outside, key=lambda c: (-_score(c), c.coin), default=None)

    def _why_leave(self, c: Candidate) -> str:
        if c.blacklisted:
            return c.blacklisted
        if not c.is_allowed:
            return c.reason
        if c.mean_usd is None or c.se_usd is None or c.score_usd is None:
            return "there is no score"
        if c.mean_usd + c.se_usd < 0:
            return f"mean + 1 se is {c.mean_usd + c.se_usd:+.2f} USD a day"
        return ""

    def _drop_surplus(self) -> None:
        left = sorted(self.since.keys() - self.drops.keys(), key=lambda c: (-_score(self.candidates[c]), c))
        for coin in left[self.rule.market_count_max :]:
            self.drops[coin] = f"only {self.rule.market_count_max} markets may be in"

    def _enter(self) -> None:
        left = max(0, self.rule.change_count_max - len(self.drops))
        occupied = len(self.kept)
        replaceable = [c for c in self.kept if days_between(self.since[c], self.day) >= self.rule.stay_days]
        ready = [c for c in self.candidates.values() if self._is_ready(c.coin)]
        for c in sorted(ready, key=lambda c: (-_score(c), c.coin)):
            weakest = min(replaceable, key=lambda coin: (_score(self.candidates[coin]), coin), default="")
            if left == 0:
                self.waits[c.coin] = (f"{self.rule.change_count_max} changes a day are the most", weakest)
            elif occupied < self.rule.market_count_max:
                self.entries[c.coin] = ""
                occupied, left = occupied + 1, left - 1
            elif not weakest:
                self.waits[c.coin] = (f"every place is taken, and no member has stayed {self.rule.stay_days} days", "")
            elif _score(c) > _score(self.candidates[weakest]) + self.hysteresis:
                self.entries[c.coin] = weakest
                replaceable.remove(weakest)
                left -= 1
            else:
                self.waits[c.coin] = (f"it does not beat {weakest} by more than {self.hysteresis:.2f}", weakest)

    def _is_ready(self, coin: str) -> bool:
        return coin not in self.since and self.confirmed[coin] >= self.rule.ready_days

    def standing_of(self, coin: str) -> Standing:
        """Return what was decided about one market."""
        c = self.candidates[coin]
        if coin in self.drops:
            return self._told(c, "dropped", f"dropped at once: {self.drops[coin]}; {c.figures}", runner_up=True)
        if coin in self.kept:
            return self._member(c)
        if coin in self.entries:
            return self._entering(c, self.entries[coin])
        if coin in self.waits:
            why, against = self.waits[coin]
            return self._told(c, "waiting", f"ready, but {why}; {c.figures}", against)
        return self._challenging(c) if c.qualifies else self._unqualified(c)

    def _unqualified(self, c: Candidate) -> Standing:
        if c.blacklisted:
            return self._told(c, "blacklisted", f"blacklisted: {c.blacklisted}")
        if not c.is_allowed:
            return self._told(c, "out", c.reason)
        return self._told(c, "out", f"its lower bound is not above 0: {c.figures}")

    def _challenging(self, c: Candidate) -> Standing:
        rule, days = self.rule, self.confirmed[c.coin]
        if days >= rule.confirm_days:
            return self._told(c, "shadow", f"confirmed on {days} days, shadow day before it may enter; {c.figures}")
        return self._told(c, "confirming", f"confirmed on {days} of {rule.confirm_days} days in a row; {c.figures}")

    def _member(self, c: Candidate) -> Standing:
        winner = next((coin for coin, replaced in self.entries.items() if replaced == c.coin), "")
        if winner and not self.needs_approval:
            why = f"replaced by {winner}, better by more than {self.hysteresis:.2f}; {c.figures}"
            return self._told(c, "replaced", why, winner)
        why = f"kept since {self.since[c.coin]}: {c.figures}"
        if winner:
            return self._told(c, "kept", f"{why}; {winner} is proposed in its place", winner, self.since[c.coin])
        return self._told(c, "kept", why + self._next_in_line(), "", self.since[c.coin], runner_up=True)

    def _entering(self, c: Candidate, replaced: str) -> Standing:
        place = f"in place of {replaced}, by more than {self.hysteresis:.2f}" if replaced else "a place was free"
        if self.needs_approval:
            why = f"waits for an operator's approval to enter ({place}); {c.figures}"
            return self._told(c, "proposed", why, replaced, runner_up=not replaced, replaces=replaced)
        why = f"added, {place}: {c.figures}" + ("" if replaced else self._next_in_line())
        return self._told(c, "added", why, replaced, self.day, runner_up=not replaced, replaces=replaced)

    def _next_in_line(self) -> str:
        best = self.runner_up
        return "; nobody is next in line" if best is None else f"; next in line {best.coin} at {_score(best):+.2f}"

    def _told(
        self, c: Candidate, decision: Decision, reason: str, against: str = "", since: str | None = None, *,
        runner_up: bool = False, replaces: str = "",
    ) -> Standing:  # fmt: skip
        if runner_up and self.runner_up is not None:
            against = self.runner_up.coin
        return Standing(
            coin=c.coin, decision=decision, reason=reason, confirmed_days=self.confirmed[c.coin], member_since=since,
            against=against, against_score_usd=self.candidates[against].score_usd if against else None,
            replaces=replaces,
        )  # fmt: skip


def _score(c: Candidate) -> float:
    return -math.inf if c.score_usd is None else c.score_usd


def state_after(standings: Sequence[Standing], day: str) -> State:
    """Return the state that the next day begins with."""
    return State(
        day=day,
        confirmed={s.coin: s.confirmed_days for s in standings},
        since={s.coin: s.member_since for s in standings if s.member_since is not None},
    )
