"""Who is in from day to day: confirmation, shadow, stay, hysteresis, churn, drops, approval."""

import random
import statistics
from collections.abc import Sequence
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hip3_platform.analytics.rotating.standing import (
    NOTHING_BEFORE,
    Candidate,
    Standing,
    StandingRule,
    State,
    decide,
    state_after,
)

FIRST = date(2026, 11, 1)


def day(number: int) -> str:
    return (FIRST + timedelta(days=number)).isoformat()


def a_candidate(coin: str, score: float | None = 5.0, se: float = 2.0, **changes: object) -> Candidate:
    mean = None if score is None else score + se
    fields = {"coin": coin, "mean_usd": mean, "se_usd": None if score is None else se, "score_usd": score,
              "is_allowed": True, "reason": "approved"}  # fmt: skip
    return Candidate(**(fields | changes))  # type: ignore[arg-type]


def member_of(day_number: int, *coins: str) -> State:
    """A state in which `coins` have been members since day 0 and everything is confirmed."""
    return State(day=day(day_number), since=dict.fromkeys(coins, day(0)))


def play(
    days: Sequence[Sequence[Candidate]], rule: StandingRule, state: State = NOTHING_BEFORE, *, first: int = 1,
    needs_approval: bool = False,
) -> list[dict[str, Standing]]:  # fmt: skip
    found = []
    for number, candidates in enumerate(days, start=first):
        standings = decide(state, candidates, day(number), rule, needs_approval=needs_approval)
        state = state_after(standings, day(number))
        found.append({s.coin: s for s in standings})
    return found


def course(found: list[dict[str, Standing]], coin: str) -> list[str]:
    return [standings[coin].decision for standings in found]


def test_a_market_enters_after_two_confirmations_and_a_shadow_day() -> None:
    found = play([[a_candidate("A")]] * 5, StandingRule())
    assert course(found, "A") == ["confirming", "shadow", "added", "kept", "kept"]
    assert found[4]["A"].member_since == day(3)


def test_a_day_that_does_not_qualify_or_is_missing_breaks_the_row() -> None:
    good, bad = [a_candidate("A")], [a_candidate("A", score=0.0)]
    found = play([good, bad, good, good, good], StandingRule())
    assert course(found, "A") == ["confirming", "out", "confirming", "shadow", "added"]
    (state_day,) = play([good], StandingRule())
    later = decide(state_after(tuple(state_day.values()), day(1)), good, day(3), StandingRule(), needs_approval=False)
    assert later[0].decision == "confirming"


def test_a_challenger_replaces_the_weakest_by_more_than_the_hysteresis_only() -> None:
    rule = StandingRule(market_count_max=2)
    # Median se 2: hysteresis 1.4.
    for score, decision in ((4.39, "waiting"), (4.41, "added")):
        field = [a_candidate("A", 9.0), a_candidate("B", 3.0), a_candidate("C", score)]
        state = State(day=day(9), since={"A": day(0), "B": day(0)}, confirmed={"C": 3})
        (found,) = play([field], rule, state, first=10)
        assert (found["C"].decision, found["C"].against) == (decision, "B")
        assert found["B"].decision == ("replaced" if decision == "added" else "kept")
        assert found["A"].decision == "kept"


def test_a_member_stays_three_days_before_it_may_be_replaced() -> None:
    rule = StandingRule(market_count_max=1)
    state = State(day=day(9), since={"A": day(9)}, confirmed={"B": 3})
    found = play([[a_candidate("A", 1.0), a_candidate("B", 50.0)]] * 3, rule, state, first=10)
    assert course(found, "A") == ["kept", "kept", "replaced"]
    assert course(found, "B") == ["waiting", "waiting", "added"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"blacklisted": "halt on 2026-11-02"}, "halt on 2026-11-02"),
        ({"is_allowed": False, "reason": "rejected: guard"}, "rejected: guard"),
        ({"score": None}, "there is no score"),
        ({"score": -4.5}, "mean + 1 se is -0.50"),
    ],
)
def test_a_member_leaves_at_once_even_on_its_second_day_and_beyond_the_churn_limit(
    changes: dict[str, object], why: str
) -> None:
    coins = ("A", "B", "C", "D")
    state = State(day=day(9), since=dict.fromkeys(coins, day(9)))
    (found,) = play([[a_candidate(coin, **changes) for coin in coins]], StandingRule(), state, first=10)  # type: ignore[arg-type]
    assert [found[coin].decision for coin in coins] == ["dropped"] * 4
    assert all(why in found[coin].reason and found[coin].member_since is None for coin in coins)


def test_a_score_below_zero_that_may_be_chance_is_no_reason_to_leave() -> None:
    (found,) = play([[a_candidate("A", score=-3.9)]], StandingRule(), member_of(9, "A"), first=10)
    assert found["A"].decision == "kept"


def test_a_member_that_was_not_watched_leaves_and_is_explained() -> None:
    (found,) = play([[a_candidate("B")]], StandingRule(), member_of(9, "A"), first=10)
    assert (found["A"].decision, "not watched" in found["A"].reason) == ("dropped", True)


def test_at_most_two_changes_a_day_and_drops_count_first() -> None:
    field = [a_candidate(coin, score) for coin, score in zip("ABCD", (4.0, 3.0, 2.0, 1.0), strict=True)]
    ready = State(day=day(9), confirmed=dict.fromkeys("ABCD", 3))
    (found,) = play([field], StandingRule(), ready, first=10)
    assert [found[c].decision for c in "ABCD"] == ["added", "added", "waiting", "waiting"]
    held = State(day=day(9), confirmed=dict.fromkeys("ABCD", 3), since={"X": day(0)})
    (found,) = play([[*field, a_candidate("X", None)]], StandingRule(), held, first=10)
    assert [found[c].decision for c in "ABCDX"] == ["added", "waiting", "waiting", "waiting", "dropped"]


def test_fewer_places_than_members_drop_the_weakest() -> None:
    field = [a_candidate("A", 3.0), a_candidate("B", 1.0), a_candidate("C", 2.0)]
    (found,) = play([field], StandingRule(market_count_max=2), member_of(9, "A", "B", "C"), first=10)
    assert [found[c].decision for c in "ABC"] == ["kept", "dropped", "kept"]


def test_where_approval_is_needed_a_market_is_proposed_and_nothing_else_changes() -> None:
    rule = StandingRule(market_count_max=1)
    state = State(day=day(9), since={"A": day(0)}, confirmed={"B": 3})
    field = [a_candidate("A", 1.0), a_candidate("B", 50.0)]
    found = play([field] * 3, rule, state, first=10, needs_approval=True)
    assert course(found, "B") == ["proposed"] * 3
    assert course(found, "A") == ["kept"] * 3
    assert (found[2]["B"].replaces, found[2]["B"].member_since, found[2]["A"].member_since) == ("A", None, day(0))
    assert "B is proposed in its place" in found[0]["A"].reason
    (dropped,) = play([[a_candidate("A", -90.0)]], rule, state, first=10, needs_approval=True)
    assert dropped["A"].decision == "dropped", "leaving needs nobody"


def test_members_are_told_who_is_next_in_line() -> None:
    field = [a_candidate("A", 9.0), a_candidate("B", 3.0), a_candidate("C", 4.0)]
    (found,) = play([field], StandingRule(), member_of(9, "A"), first=10)
    assert (found["A"].against, found["A"].against_score_usd) == ("C", 4.0)


def test_a_state_of_the_same_day_and_a_market_twice_are_refused() -> None:
    with pytest.raises(ValueError, match="before"):
        decide(State(day=day(3)), [], day(3), StandingRule(), needs_approval=False)
    with pytest.raises(ValueError, match="once"):
        decide(NOTHING_BEFORE, [a_candidate("A"), a_candidate("A")], day(3), StandingRule(), needs_approval=False)


@pytest.mark.parametrize("coins", ["ABC", "CBA", "BCA"])
def test_of_equal_markets_the_first_name_enters(coins: str) -> None:
    ready = State(day=day(9), confirmed=dict.fromkeys("ABC", 3))
    (found,) = play([[a_candidate(coin) for coin in coins]], StandingRule(market_count_max=1), ready, first=10)
    assert [found[coin].decision for coin in "ABC"] == ["added", "waiting", "waiting"]


# --- properties


@st.composite
def histories(draw: st.DrawFn) -> tuple[StandingRule, list[list[Candidate]], bool]:
    coins = [f"M{n}" for n in range(draw(st.integers(1, 6)))]
    rule = StandingRule(
        market_count_max=draw(st.integers(1, 3)), confirm_days=draw(st.integers(1, 2)),
        shadow_days=draw(st.integers(0, 1)), stay_days=draw(st.integers(0, 3)),
        change_count_max=draw(st.integers(0, 3)),
    )  # fmt: skip
    scores = st.one_of(st.none(), st.floats(-20, 20))
    one = st.tuples(scores, st.floats(0.1, 5), st.booleans(), st.sampled_from(["", "", "", "halt"]))
    days = draw(st.lists(st.lists(one, min_size=len(coins), max_size=len(coins)), min_size=1, max_size=8))
    field = [
        [a_candidate(coin, score, se, is_allowed=ok or score is None, blacklisted=bad)
         for coin, (score, se, ok, bad) in zip(coins, row, strict=True)]
        for row in days
    ]  # fmt: skip
    return rule, field, draw(st.booleans())


@settings(max_examples=150)
@given(history=histories(), seed=st.integers(0, 999))
def test_every_day_keeps_the_rules_whatever_happened(
    history: tuple[StandingRule, list[list[Candidate]], bool], seed: int
) -> None:
    rule, days, needs_approval = history
    found = play(days, rule, needs_approval=needs_approval)
    mixed = [random.Random(seed).sample(candidates, len(candidates)) for candidates in days]
    assert play(mixed, rule, needs_approval=needs_approval) == found, "the order of markets changes nothing"
    members: dict[str, str] = {}
    for number, (candidates, standings) in enumerate(zip(days, found, strict=True), start=1):
        by_coin = {c.coin: c for c in candidates}
        assert sorted(by_coin) == list(standings), "every market is explained once"
        now = {s.coin: s.member_since for s in standings.values() if s.member_since is not None}
        added = {coin for coin in now if coin not in members}
        gone = {coin: standings[coin].decision for coin in members if coin not in now}
        assert len(now) <= rule.market_count_max
        assert set(gone.values()) <= {"dropped", "replaced"}
        drops = sum(decision == "dropped" for decision in gone.values())
        assert len(added) <= max(0, rule.change_count_max - drops)
        assert not (needs_approval and added)
        for coin, decision in gone.items():
            stayed = (date.fromisoformat(day(number)) - date.fromisoformat(members[coin])).days
            assert decision == "dropped" or stayed >= rule.stay_days
        row = rule.confirm_days + rule.shadow_days
        for coin in added:
            assert number >= row
            assert all(days[back][list(by_coin).index(coin)].qualifies for back in range(number - row, number))
        for coin in now:
            c = by_coin[coin]
            assert c.is_allowed
            assert not c.blacklisted
            assert c.mean_usd is not None
            assert c.se_usd is not None
            assert c.mean_usd + c.se_usd >= 0
        members = {coin: since for coin, since in now.items() if since is not None}


# --- churn: the same noisy stream under the rules and without them


def _noisy_days(seed: int, markets: int = 16, day_count: int = 75) -> list[tuple[list[Candidate], dict[str, float]]]:
    """Latent dollars drift (AR(1)); each day shows a noisy estimate of them, and what a member really earns next."""
    draw = random.Random(seed)
    latent = {f"M{n}": draw.gauss(0, 6) for n in range(markets)}
    estimate = dict.fromkeys(latent, 0.0)
    found = []
    for _ in range(day_count):
        earned = dict(latent)
        for coin, usd in earned.items():
            latent[coin] = 0.985 * usd + draw.gauss(0, 1.0)
            estimate[coin] += 0.1 * (latent[coin] + draw.gauss(0, 12) - estimate[coin])
        field = [a_candidate(coin, estimate[coin] - 2.8, 2.8) for coin in sorted(latent)]
        found.append((field, earned))
    return found


def _lived(days: list[tuple[list[Candidate], dict[str, float]]], rule: StandingRule) -> tuple[float, float]:
    """Return changes and true dollars a day; what is decided on a day earns from the next one on."""
    changes, usd, members, state = 0, 0.0, set[str](), NOTHING_BEFORE
    for number, (field, earned) in enumerate(days, start=1):
        usd += sum(earned[coin] for coin in members)
        standings = decide(state, field, day(number), rule, needs_approval=False)
        state = state_after(standings, day(number))
        changes += len(members - set(state.since)) + len(set(state.since) - members)
        members = set(state.since)
    return changes / len(days), usd / len(days)


def test_hysteresis_stay_and_confirmation_calm_the_list_at_little_cost() -> None:
    calm = StandingRule(market_count_max=6)
    loose = StandingRule(
        market_count_max=6, confirm_days=1, shadow_days=0, stay_days=0, change_count_max=99, hysteresis_ratio=0.0
    )
    streams = [_noisy_days(seed) for seed in range(8)]
    (calm_changes, calm_usd), (loose_changes, loose_usd) = (
        [statistics.fmean(values) for values in zip(*(_lived(days, rule) for days in streams), strict=True)]
        for rule in (calm, loose)
    )
    assert calm_changes < 0.7 * loose_changes
    assert calm_usd > 0.85 * loose_usd
    assert loose_usd > 0
