"""A day's document: every market explained, approvals, rollback, versions, and what the next day makes of it."""

import argparse
import random
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hip3_platform.analytics.rotating import archive, capacity, score
from hip3_platform.analytics.rotating.allocation import AllocationRule
from hip3_platform.analytics.rotating.blacklist import Blacklisting
from hip3_platform.analytics.rotating.document import Identity, RotationRefused, revised, state_of, version_of
from hip3_platform.analytics.rotating.rotate import APPROVALS, Evidence, Rules, needs_approval, rotate
from hip3_platform.analytics.rotating.settings import Own
from hip3_platform.analytics.rotating.standing import StandingRule
from hip3_platform.cli import rotation as command
from streaming.contracts.rotation import RotationDoc, RotationMarket, decode_rotation, encode_rotation
from streaming.core.errors import StoreError

FIRST = date(2026, 11, 1)
RULES = Rules(StandingRule(market_count_max=2), AllocationRule())
FIGURES = ("coin", "mean_usd", "se_usd", "score_usd")
OWN = Own(threshold_bps=None, time_stop_ms=5_000)


def day(number: int) -> str:
    return (FIRST + timedelta(days=number)).isoformat()


def an_identity(number: int, venue: str = "testnet") -> Identity:
    return Identity(venue=venue, account="0xabc", day=day(number), code_version="1", config_hash="c", expiry_hours=72)


def evidence(scores: dict[str, float], phase: str = "rotate", **changes: Any) -> Evidence:  # noqa: ANN401
    """Every market approved for trade at T8 oracle_led 3 s, with a score each; se 1."""
    ranked = [{"coin": c, "mean_usd": s + 1, "se_usd": 1.0, "score_usd": s} for c, s in scores.items()]
    approved = [
        {"coin": c, "state": "approved_trade", "theta_bps": 4.0, "se_bps": 1.0, "test_fills": 100, "threshold_bps": 8,
         "origin": "oracle_led", "horizon_s": 3, "reason": "bound above 0"}
        for c in scores
    ]  # fmt: skip
    sizes = [{"coin": c, "fill_usd_p50": 30.0, "worst_bps": 40.0, "fills": 100} for c in scores]
    fields: dict[str, Any] = {
        "scores": pl.DataFrame(ranked, schema={name: score.SCHEMA[name] for name in FIGURES}),
        "approvals": pl.DataFrame(approved, schema=APPROVALS),
        "sizes": pl.DataFrame(sizes, schema=capacity.SIZES),
        "blacklist": {}, "own": dict.fromkeys(scores, OWN), "phase": phase,
    }  # fmt: skip
    return Evidence(**(fields | changes))


def played(days: list[Evidence], *, venue: str = "testnet", first: int = 1) -> list[RotationDoc]:
    docs: list[RotationDoc] = []
    for number, known in enumerate(days, start=first):
        docs.append(rotate(an_identity(number, venue), known, RULES, docs[-1] if docs else None))
    return docs


def decisions(doc: RotationDoc) -> dict[str, str]:
    return {e.coin: e.decision for e in doc.explanations}


def test_a_market_is_in_the_document_with_its_policy_and_notional_and_why() -> None:
    *_, doc = played([evidence({"A": 5.0, "B": -5.0})] * 3)
    (market,) = doc.markets
    assert (market.coin, market.rank, market.ntl_max, market.score_bps) == ("A", 1, 60, 3)
    assert (market.threshold_bps, market.is_oracle_led_only, market.hold_ms_max) == (8, True, 3_000)
    assert "added" in market.reason
    assert "2 x median fill" in market.reason
    assert [(x.coin, x.is_blacklisted) for x in doc.excluded] == [("B", False)]
    assert doc.expires_ts_ns - doc.created_ts_ns == 72 * 3_600 * 10**9


def test_the_state_of_the_next_day_is_all_in_the_bytes() -> None:
    docs = played([evidence({"A": 5.0, "B": 4.0})] * 4)
    for number, doc in enumerate(docs[:-1], start=2):
        again = decode_rotation(encode_rotation(doc))
        assert encode_rotation(rotate(an_identity(number), evidence({"A": 5.0, "B": 4.0}), RULES, again)) == (
            encode_rotation(docs[number - 1])
        )


@pytest.mark.parametrize(("phase", "decision"), [("rotate", "added"), ("micro", "proposed")])
def test_days_on_which_a_market_was_confirmed_count_for_a_new_account_and_its_place_does_not(
    phase: str, decision: str
) -> None:
    *_, theirs = played([evidence({"A": 5.0})] * 4)
    assert decisions(theirs) == {"A": "kept"}
    mine = replace(an_identity(5), account="0xdef")
    doc = rotate(mine, evidence({"A": 5.0}, phase), RULES, theirs)
    assert decisions(doc) == {"A": decision}
    assert not doc.stands_down
    gone = rotate(mine, evidence({"A": -5.0}, phase), RULES, theirs)
    assert (gone.markets, gone.stands_down) == ((), False), "it had no place to lose"


def test_a_document_of_before_the_explanations_hands_on_its_members() -> None:
    (doc,) = played([evidence({"A": 1.0})])
    old = msgspec.structs.replace(
        doc, explanations=(),
        markets=(RotationMarket(coin="A", ntl_max=doc.explanations[0].score_usd or 1, rank=1,
                                score_bps=doc.explanations[0].score_usd or 1, reason=""),),
    )  # fmt: skip
    assert state_of(old, old.account).since == {"A": day(1)}


@pytest.mark.parametrize(
    ("phase", "state", "decision"),
    [
        ("micro", "approved_micro", "confirming"),
        ("micro", "latency_fragile", "confirming"),
        ("steady", "approved_micro", "out"),
        ("rotate", "latency_fragile", "out"),
        ("", "approved_micro", "out"),
        ("", "approved_trade", "confirming"),
        ("micro", "rejected", "out"),
        ("micro", "insufficient", "out"),
    ],
)
def test_what_the_evidence_allows_depends_on_the_phase(phase: str, state: str, decision: str) -> None:
    known = evidence({"A": 5.0}, phase)
    approvals = known.approvals.with_columns(state=pl.lit(state))
    (doc,) = played([evidence({"A": 5.0}, phase, approvals=approvals)])
    assert decisions(doc) == {"A": decision}


def test_a_market_without_an_evidence_row_never_enters_and_leaves_at_once() -> None:
    bare = evidence({"A": 5.0}, approvals=pl.DataFrame(schema=APPROVALS))
    *_, doc = played([*[evidence({"A": 5.0})] * 3, bare])
    assert decisions(doc) == {"A": "dropped"}
    assert (doc.markets, doc.stands_down) == ((), True), "the sidecar has to end what it holds"
    *_, after = played([*[evidence({"A": 5.0})] * 3, bare, bare])
    assert after.stands_down, "a sidecar that was away yesterday has to hear it today"
    (first,) = played([bare])
    assert not first.stands_down


def test_a_notional_too_small_to_trade_is_told_and_not_allowed() -> None:
    small = evidence({"A": 5.0})
    small = evidence({"A": 5.0}, sizes=small.sizes.with_columns(fill_usd_p50=pl.lit(5.0)))
    *_, doc = played([small] * 3)
    assert decisions(doc) == {"A": "unallotted"}
    assert not doc.markets
    assert "below the least order" in doc.explanations[0].reason


def test_a_blacklisted_market_is_named_with_its_end_also_when_nobody_watched_it() -> None:
    listed = {c: Blacklisting(c, "halt; until 2026-11-09", "2026-11-09") for c in ("A", "Z")}
    *_, doc = played([*[evidence({"A": 5.0, "B": 1.0})] * 3, evidence({"A": 5.0, "B": 1.0}, blacklist=listed)])
    assert decisions(doc) == {"A": "dropped", "B": "kept", "Z": "blacklisted"}
    assert {x.coin: (x.is_blacklisted, x.blacklisted_until) for x in doc.excluded} == dict.fromkeys(
        ("A", "Z"), (True, "2026-11-09")
    )


@pytest.mark.parametrize(("venue", "phase", "needed"), [("sim", "micro", False), ("testnet", "rotate", False),
                                                         ("mainnet", "micro", True), ("mainnet", "steady", True),
                                                         ("mainnet", "", True)])  # fmt: skip
def test_additions_need_approval_but_in_rotate_and_on_the_simulated_venue(venue: str, phase: str, needed: bool) -> None:
    assert needs_approval(venue, phase) is needed


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32))
def test_every_document_explains_every_market_once_and_keeps_its_bytes(seed: int) -> None:
    draw = random.Random(seed)
    coins, previous = [f"xyz:M{n}" for n in range(draw.randint(1, 6))], None
    phase = draw.choice(["micro", "rotate"])
    for number in range(1, 7):
        scores = {coin: draw.uniform(-4, 9) for coin in coins if draw.random() < 0.95}
        listed = {c: Blacklisting(c, "x", None) for c in coins if draw.random() < 0.05}
        known = evidence(scores, phase, blacklist=listed)
        mixed = evidence(dict(draw.sample(sorted(scores.items()), len(scores))), phase, blacklist=listed)
        doc = rotate(an_identity(number), known, RULES, previous)
        raw = encode_rotation(doc)
        assert raw == encode_rotation(rotate(an_identity(number), mixed, RULES, previous))
        assert decode_rotation(raw) == doc
        told, inside = [e.coin for e in doc.explanations], {m.coin for m in doc.markets}
        assert len(set(told)) == len(told)
        assert set(told) >= set(scores) | inside
        assert inside == {e.coin for e in doc.explanations if e.decision in {"kept", "added"}}
        assert {p.market.coin for p in doc.proposed} == {c for c, d in decisions(doc).items() if d == "proposed"}
        assert not inside & {x.coin for x in doc.excluded}
        assert all(m.ntl_max <= 100 for m in doc.markets)
        assert [m.rank for m in doc.markets] == list(range(1, len(inside) + 1))
        assert all(e.reason for e in doc.explanations)
        previous = doc


def test_same_content_keeps_its_version_and_other_content_is_the_next_revision() -> None:
    first, other = played([evidence({"A": 5.0})])[0], played([evidence({"A": 6.0})])[0]
    assert revised(first, None).version == 2026110200
    assert encode_rotation(revised(first, first)) == encode_rotation(first)
    second = revised(other, first)
    third = revised(first, second)
    assert [second.version, third.version] == [2026110201, 2026110202]
    with pytest.raises(StoreError, match="revised"):
        version_of(day(1), 100)


# --- operators


def stored(root: Path, count: int = 3, phase: str = "micro") -> RotationDoc:
    """Judge days one after the other, as the platform does; the last one proposes A and B."""
    doc = None
    for number in range(1, count + 1):
        doc = judged(root, number, phase)
    assert doc is not None
    return doc


def judged(root: Path, number: int, phase: str = "micro", scores: dict[str, float] | None = None) -> RotationDoc:
    previous = archive.document_before(root, "testnet", day(number))
    known = evidence(scores or {"A": 5.0, "B": 4.0, "C": -3.0}, phase)
    return archive.settle(root, rotate(an_identity(number), known, RULES, previous))[0]


def test_approval_lets_in_what_was_proposed_and_stays_when_the_day_is_judged_again(tmp_path: Path) -> None:
    before = stored(tmp_path)
    assert (before.markets, [p.market.coin for p in before.proposed]) == ((), ["A", "B"])
    made = archive.approve(tmp_path, "testnet", version=before.version, coins=["A"], operator="ann", reason="looked")
    assert made.version == before.version + 1
    assert [m.coin for m in made.markets] == ["A"]
    assert (decisions(made)["A"], decisions(made)["B"]) == ("added", "proposed")
    assert "ann: looked" in made.note
    assert judged(tmp_path, 3) == made, "the same day, judged again"
    late = judged(tmp_path, 3, scores={"A": 5.5, "B": 4.0, "C": -3.0})
    assert ([m.coin for m in late.markets], late.version) == (["A"], made.version + 1)
    after = judged(tmp_path, 4)
    assert (decisions(after)["A"], decisions(after)["B"]) == ("kept", "proposed")


def test_approval_of_a_replacement_lets_the_other_one_go(tmp_path: Path) -> None:
    stored(tmp_path)
    archive.approve(tmp_path, "testnet", version=None, coins=[], operator="ann", reason="both")
    for number in range(4, 9):
        doc = judged(tmp_path, number, scores={"A": 5.0, "B": 1.0, "C": 9.0})
    assert [(p.market.coin, p.replaces) for p in doc.proposed] == [("C", "B")]
    made = archive.approve(tmp_path, "testnet", version=None, coins=[], operator="ann", reason="better")
    assert [(m.coin, m.rank) for m in made.markets] == [("C", 1), ("A", 2)]
    assert decisions(made)["B"] == "replaced"
    assert {x.coin for x in made.excluded} == {"B"}
    assert state_of(made, made.account).since.keys() == {"A", "C"}


def test_approval_of_what_is_not_proposed_or_of_an_older_version_is_refused_and_writes_nothing(tmp_path: Path) -> None:
    doc = stored(tmp_path)
    with pytest.raises(RotationRefused, match="found C"):
        archive.approve(tmp_path, "testnet", version=None, coins=["C"], operator="ann", reason="x")
    with pytest.raises(RotationRefused, match="newest version"):
        archive.approve(tmp_path, "testnet", version=doc.version - 1, coins=[], operator="ann", reason="x")
    with pytest.raises(RotationRefused, match="no rotation of sim"):
        archive.approve(tmp_path, "sim", version=None, coins=[], operator="ann", reason="x")
    assert archive.newest(tmp_path, "testnet") == doc
    assert archive.read_acts(tmp_path, "testnet") == ()


def test_rollback_is_a_new_version_with_the_old_content(tmp_path: Path) -> None:
    old = stored(tmp_path, 3, "rotate")
    newest = stored_more(tmp_path)
    made = archive.roll_back(tmp_path, "testnet", version=None, to_version=old.version, operator="bob", reason="worse")
    assert made.version == newest.version + 1
    assert made.markets == old.markets != newest.markets
    assert (made.excluded, made.explanations) == (old.excluded, old.explanations)
    assert made.expires_ts_ns == newest.expires_ts_ns, "else it would expire with the old one"
    assert f"version {old.version}" in made.note
    assert archive.read_version(tmp_path, "testnet", newest.version) == newest, "nothing is lost"
    late = judged(tmp_path, 6, "rotate", {"A": -9.0, "B": 4.2})
    assert late.markets == old.markets, "the day judged again"


def stored_more(root: Path) -> RotationDoc:
    for number in (4, 5, 6):
        doc = judged(root, number, "rotate", {"A": -9.0, "B": 4.0})
    assert [m.coin for m in doc.markets] == ["B"]
    return doc


def test_rollback_to_what_is_blacklisted_by_now_or_is_not_there_is_refused(tmp_path: Path) -> None:
    old = stored(tmp_path, 3, "rotate")
    listed = {"A": Blacklisting("A", "tail_loss on 2026-11-05", "2026-11-12")}
    archive.settle(tmp_path, rotate(an_identity(4), evidence({"B": 4.0}, blacklist=listed), RULES, old))
    for version, why in ((old.version, "tail_loss"), (2026110203, "found no"), (7, "YYYYMMDDRR"),
                         (2026110500, "before")):  # fmt: skip
        with pytest.raises(RotationRefused, match=why):
            archive.roll_back(tmp_path, "testnet", version=None, to_version=version, operator="bob", reason="x")


def _hip3_rotation(root: Path, *words: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([words[0], "--warehouse", str(root), "--venue", "testnet", *words[1:]]))


def test_command_shows_approves_and_rolls_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = stored(tmp_path)
    assert _hip3_rotation(tmp_path, "show") == 0
    shown = capsys.readouterr().out
    assert all(text in shown for text in (str(before.version), "proposed", "hip3 rotation approve", "C "))
    assert _hip3_rotation(tmp_path, "approve", "A", "--reason", "looked", "--operator", "ann", "--json") == 0
    made = decode_rotation(capsys.readouterr().out.encode())
    assert [m.coin for m in made.markets] == ["A"]
    assert _hip3_rotation(tmp_path, "rollback", "--to", str(before.version), "--reason", "no", "--operator", "b") == 0
    assert archive.versions(tmp_path, "testnet")[-2:] == (made.version, made.version + 1)
    newest = archive.newest(tmp_path, "testnet")
    assert newest is not None
    assert (newest.markets, newest.stands_down) == ((), True)
    with pytest.raises(RotationRefused, match="reason"):
        _hip3_rotation(tmp_path, "approve", "--reason", " ")
