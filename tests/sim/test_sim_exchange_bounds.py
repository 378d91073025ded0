"""Whatever strangers send, the exchange keeps a bounded number of things; its decisions have no hash seed in them."""

import hashlib
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from sim_market_view import NVDA, START_MS
from sim_requests import Venue, Wallet, order_action, order_item

from streaming.sim.exchange.accounts import accounts as accounts_module
from streaming.sim.exchange.requests import auth as auth_module
from streaming.sim.exchange.requests.refusals import must_deposit
from streaming.sim.venue.info.users import BODIES

REST = order_action(order_item(True, "180", "1", tif="Alo"))
EXTRAS = {"startTime": 0, "coin": NVDA, "oid": 1, "builder": "0x" + "11" * 20}


def ask(venue: Venue, user: str) -> None:
    for kind, body in BODIES.items():
        body(venue.exchange, {"type": kind, "user": user, **EXTRAS}, venue.now_ms)


def test_questions_about_strangers_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts_module, "SEEN_COUNT_MAX", 5)
    venue = Venue()
    for number in range(50):
        ask(venue, f"0x{number:040x}")
    accounts = venue.exchange.accounts
    assert [account.user for account in accounts.all()] == [f"0x{number:040x}" for number in range(45, 50)]
    held = sum(house.raw_usd for account in accounts.all() for house in account.houses.values())
    assert accounts.house.deposited_usd == held


def test_account_that_acts_is_kept_whatever_others_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts_module, "SEEN_COUNT_MAX", 5)
    venue, ann = Venue(), Wallet(1)
    ask(venue, ann.address)
    venue.call(ann.sign(order_action(order_item(True, "190.02", "1"))))
    for number in range(50):
        ask(venue, f"0x{number:040x}")
    assert venue.szi(ann) == 1
    assert venue.exchange.accounts.look(ann.address).fills


def test_questions_give_a_stranger_no_budget_and_no_orders() -> None:
    venue = Venue()
    ask(venue, "0x" + "77" * 20)
    assert not venue.exchange.budget._usages
    assert not venue.exchange.orders._users


def test_accounts_that_act_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts_module, "ACTING_COUNT_MAX", 2)
    venue = Venue()
    first, second, third = (Wallet(number) for number in (1, 2, 3))
    for wallet in (first, second):
        venue.call(wallet.sign(REST))
    assert venue.refusal(third.sign(REST)).body["response"] == must_deposit(third.address)
    venue.call(first.sign(REST))
    assert venue.exchange.orders.live_count(first.address) == 2


def test_wrongly_signed_requests_are_not_remembered_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth_module, "MEANT_COUNT_MAX", 4)
    venue = Venue()
    for number in range(1, 9):
        venue.exchange.receive(Wallet(number).sign({**REST, "x": "unknown keys are dropped by the server"}), START_MS)
    assert 0 < len(venue.exchange.authority._meant) <= 4


def events_digest() -> str:
    """Play a few clients against each other and return a digest of everything that happened."""
    venue = Venue(schedule_cancel_volume_usd="0")
    wallets = [Wallet(number) for number in range(1, 9)]
    venue.view.set_book(NVDA, [("190.00", "5")], [("190.02", "5")])
    for place, wallet in enumerate(wallets):
        venue.send(wallet.sign(order_action(order_item(place % 2 == 0, "190.01", "40", tif="Gtc"))))
        venue.send(wallet.sign(order_action(order_item(True, "185", "4", tif="Alo"))))
    venue.run(600)
    for wallet in wallets[::2]:
        venue.send(wallet.sign(order_action(order_item(False, "195", "9", tif="Alo", is_reduce_only=True))))
        venue.send(wallet.sign({"type": "scheduleCancel", "time": venue.now_ms + 6_000}))
    venue.run(600)
    venue.view.set_px(NVDA, "120")
    venue.view.set_book(NVDA, [("119.00", "9")], [("121.00", "9")])
    venue.run(8_000)
    venue.view.set_listed(NVDA, is_halted=True)
    venue.run(600)
    assert len({type(event) for event in venue.events}) >= 6
    return hashlib.sha256(repr(venue.events).encode()).hexdigest()


def test_events_do_not_depend_on_the_hash_seed() -> None:
    here = Path(__file__).parent
    script = "import test_sim_exchange_bounds as t; print(t.events_digest())"
    paths = os.pathsep.join([str(here), str(here.parent), str(here.parent.parent)])
    digests = {
        subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": paths},
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout.strip()
        for seed in ("1", "99")
    }
    assert digests == {events_digest()}


def test_sizes_and_prices_of_any_length_never_stop_the_venue() -> None:
    venue, ann = Venue(), Wallet(1)
    long = "9" * 18 + "." + "9" * 18
    for px, sz in ((long, "1"), ("190.02", long), (long, long), ("0." + "0" * 17 + "1", "1"), ("190.02", "-1")):
        for tif in ("Ioc", "Alo", "FrontendMarket"):
            statuses = venue.statuses(ann.sign(order_action(order_item(True, px, sz, tif=tif))))
            assert "error" in statuses[0]
    venue.call(ann.sign(order_action(order_item(True, "190.02", "1"))))
    statuses = venue.statuses(ann.sign(order_action(order_item(False, "190.00", "9" * 18, is_reduce_only=True))))
    assert statuses[0]["filled"]["totalSz"] == "1.0"
    assert venue.szi(ann) == Decimal(0)
