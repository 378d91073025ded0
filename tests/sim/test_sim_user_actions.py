from decimal import Decimal
from typing import Any

import pytest
from sim_market_view import NVDA
from sim_requests import Venue, Wallet, order_action, order_item

from streaming.sim.exchange.events import AccountChanged

Json = Any
DONE = {"status": "ok", "response": {"type": "default"}}
USDC = "USDC:0x6d1e7cde53ba9467b783cb7c530ce054"
START = Decimal(10_000)


@pytest.fixture
def ann() -> Wallet:
    return Wallet(1)


@pytest.fixture
def bob() -> Wallet:
    return Wallet(2)


@pytest.fixture
def venue() -> Venue:
    return Venue()


def user_signed(wallet: Wallet, action: Json) -> Json:
    """Return the body of a user-signed action; its nonce comes last."""
    nonce = wallet.next_nonce()
    clock = "time" if action["type"] in {"usdSend", "withdraw3"} else "nonce"
    return wallet.sign_user(
        {**action, "signatureChainId": "0x66eee", "hyperliquidChain": "Testnet", clock: nonce}, nonce
    )


def send_asset(to: Wallet, source: str, target: str, amount: str, **changes: Json) -> Json:
    return {
        "type": "sendAsset", "destination": to.address, "sourceDex": source, "destinationDex": target, "token": USDC,
        "amount": amount, "fromSubAccount": "",
    } | changes  # fmt: skip


def agent_send(to: Wallet, source: str, target: str, amount: str) -> Json:
    return send_asset(to, source, target, amount, type="agentSendAsset") | {"nonce": 1}


def refused(text: str) -> Json:
    return {"status": "err", "response": text}


def money(venue: Venue, wallet: Wallet) -> dict[str, Decimal]:
    """Balances by dex and spot, less the initial ones."""
    account = venue.exchange.accounts.of(wallet.address)
    balances = {dex: house.raw_usd - START for dex, house in account.houses.items()} | {"spot": account.spot_usd}
    return {place: usd for place, usd in balances.items() if usd}


# --- transfers


def test_collateral_moves_between_dexes_and_spot_of_one_address(venue: Venue, ann: Wallet) -> None:
    assert venue.call(user_signed(ann, send_asset(ann, "", "xyz", "100.5"))) == DONE
    assert money(venue, ann) == {"": Decimal("-100.5"), "xyz": Decimal("100.5")}
    assert venue.call(user_signed(ann, {"type": "usdClassTransfer", "amount": "7", "toPerp": False})) == DONE
    assert venue.call(user_signed(ann, send_asset(ann, "spot", "xyz", "3"))) == DONE
    assert venue.call(user_signed(ann, {"type": "usdClassTransfer", "amount": "4", "toPerp": True})) == DONE
    assert money(venue, ann) == {"": Decimal("-103.5"), "xyz": Decimal("103.5")}
    assert venue.call(ann.sign(agent_send(ann, "xyz", "", "103.5"))) == DONE
    assert money(venue, ann) == {}


def test_collateral_moves_to_another_address_and_both_are_told(venue: Venue, ann: Wallet, bob: Wallet) -> None:
    venue.exchange.accounts.of(bob.address)
    assert venue.call(user_signed(ann, {"type": "usdSend", "destination": bob.address, "amount": "10"})) == DONE
    upper = bob.address.upper().replace("X", "x")
    assert venue.call(user_signed(ann, send_asset(ann, "", "xyz", "5", destination=upper))) == DONE
    assert money(venue, ann) == {"": Decimal(-15)}
    assert money(venue, bob) == {"": Decimal(10), "xyz": Decimal(5)}
    told = {(event.user, event.dex) for event in venue.events if isinstance(event, AccountChanged)}
    assert {(ann.address, ""), (bob.address, ""), (bob.address, "xyz")} <= told


def test_withdrawal_takes_money_out_of_the_validator_dex(venue: Venue, ann: Wallet) -> None:
    withdraw = {"type": "withdraw3", "destination": ann.address, "amount": "10000"}
    assert venue.call(user_signed(ann, withdraw)) == DONE
    assert venue.call(user_signed(ann, withdraw)) == refused("Insufficient balance for withdrawal.")
    assert venue.call(user_signed(ann, withdraw | {"amount": "0"})) == refused("Invalid amount.")
    assert money(venue, ann) == {"": -START}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"amount": "10000.01"}, "Insufficient balance for token transfer."),
        ({"amount": "0"}, "Invalid amount."),
        ({"amount": "-5"}, "Invalid amount."),
        ({"sourceDex": "nope"}, "Invalid perp dex."),
        ({"destinationDex": "nope"}, "Invalid perp dex."),
        ({"token": "HYPE:0x0d01dc56dcaaca66ad901c959b4011ec"}, "Only the collateral token"),
        ({"fromSubAccount": f"0x{'Ab' * 20}"}, f"Vault not registered: 0x{'ab' * 20}"),
    ],
)
def test_transfer_that_can_not_be_is_refused_and_moves_nothing(
    venue: Venue, ann: Wallet, changes: Json, said: str
) -> None:
    answer = venue.call(user_signed(ann, send_asset(ann, "", "xyz", "1") | changes))
    assert answer["status"] == "err"
    assert answer["response"].startswith(said)
    assert money(venue, ann) == {}


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        ("1e3", "Invalid amount."),
        ("-1", "Invalid amount."),
        (f"5 subaccount:0x{'ab' * 20}", f"Vault not registered: 0x{'ab' * 20}"),
    ],
)
def test_class_transfer_of_an_amount_out_of_form_is_refused(venue: Venue, ann: Wallet, amount: str, said: str) -> None:
    assert venue.call(user_signed(ann, {"type": "usdClassTransfer", "amount": amount, "toPerp": False})) == refused(
        said
    )


def test_agent_moves_money_of_its_master_but_never_away(venue: Venue, ann: Wallet, bob: Wallet) -> None:
    approve = {"type": "approveAgent", "agentAddress": bob.address, "agentName": "bot"}
    assert venue.call(user_signed(ann, approve)) == DONE
    assert venue.call(bob.sign(agent_send(ann, "", "xyz", "5"))) == DONE
    assert money(venue, ann) == {"": Decimal(-5), "xyz": Decimal(5)}
    away = venue.call(bob.sign(agent_send(bob, "", "xyz", "5")))
    assert away == refused("Agent can only send asset to same user or their sub-accounts.")


def test_margin_in_use_stays(venue: Venue, ann: Wallet) -> None:
    venue.call(ann.sign(order_action(order_item(True, "190.00", "100", tif="Alo"))))
    answer = venue.call(user_signed(ann, send_asset(ann, "xyz", "", "9500")))
    assert answer == refused("Insufficient balance for token transfer.")


# --- modes


def test_modes_are_set_by_master_and_agent(venue: Venue, ann: Wallet, bob: Wallet) -> None:
    account = venue.exchange.accounts.of(ann.address)
    assert account.abstraction == "disabled"
    modes = []
    for body in (
        user_signed(ann, {"type": "userSetAbstraction", "user": ann.address, "abstraction": "unifiedAccount"}),
        ann.sign({"type": "agentSetAbstraction", "abstraction": "p"}),
        user_signed(ann, {"type": "userDexAbstraction", "user": ann.address, "enabled": True}),
        user_signed(ann, {"type": "userDexAbstraction", "user": ann.address, "enabled": False}),
        ann.sign({"type": "agentEnableDexAbstraction"}),
        ann.sign({"type": "agentSetAbstraction", "abstraction": "i"}),
    ):
        assert venue.call(body) == DONE
        modes.append(account.abstraction)
    assert modes == ["unifiedAccount", "portfolioMargin", "dexAbstraction", "disabled", "dexAbstraction", "disabled"]
    foreign = user_signed(ann, {"type": "userSetAbstraction", "user": bob.address, "abstraction": "unifiedAccount"})
    assert venue.call(foreign) == refused("Signer does not match user.")
    assert venue.exchange.accounts.of(bob.address).abstraction == "disabled"


def test_unified_account_can_not_transfer_between_classes(venue: Venue, ann: Wallet) -> None:
    venue.call(ann.sign({"type": "agentSetAbstraction", "abstraction": "u"}))
    answer = venue.call(user_signed(ann, {"type": "usdClassTransfer", "amount": "1", "toPerp": False}))
    assert answer == refused("Action disabled when unified account is active")


# --- builders


def approve_builder(number: int, rate: str) -> Json:
    return {"type": "approveBuilderFee", "maxFeeRate": rate, "builder": Wallet(number).address}


def test_builder_fee_passes_up_to_what_was_approved(venue: Venue, ann: Wallet) -> None:
    def order(tenths: int) -> Json:
        action = order_action(order_item(True, "190.02", "1")) | {"builder": {"b": Wallet(9).address, "f": tenths}}
        return venue.call(ann.sign(action))

    not_approved = refused("Builder fee has not been approved")
    assert order(1) == not_approved
    assert venue.call(user_signed(ann, approve_builder(9, "0.001%"))) == DONE
    assert order(1)["status"] == "ok"
    assert order(2) == not_approved
    assert venue.call(user_signed(ann, approve_builder(9, "0%"))) == DONE
    assert order(1) == not_approved


@pytest.mark.parametrize("rate", ["1.0000001%", "0.001", "-1%", "x%"])
def test_builder_fee_out_of_form_or_bounds_is_refused(venue: Venue, ann: Wallet, rate: str) -> None:
    assert venue.call(user_signed(ann, approve_builder(9, rate))) == refused("Invalid builder fee rate.")


def test_ten_builders_can_be_approved_and_changed(venue: Venue, ann: Wallet) -> None:
    for number in range(10, 20):
        assert venue.call(user_signed(ann, approve_builder(number, "0.01%"))) == DONE
    assert venue.call(user_signed(ann, approve_builder(20, "0.01%"))) == refused("Too many approved builders")
    assert venue.call(user_signed(ann, approve_builder(10, "0.02%"))) == DONE
    assert venue.call(user_signed(ann, approve_builder(10, "0%"))) == DONE
    assert venue.call(user_signed(ann, approve_builder(20, "0.01%"))) == DONE


# --- agents and the rest


def test_approved_agent_trades_for_its_master(venue: Venue, ann: Wallet, bob: Wallet) -> None:
    assert venue.call(user_signed(ann, {"type": "approveAgent", "agentAddress": bob.address})) == DONE
    (status,) = venue.statuses(bob.sign(order_action(order_item(True, "190.02", "1"))))
    assert status["filled"]["totalSz"] == "1.0"
    assert (venue.szi(ann, NVDA), venue.szi(bob, NVDA)) == (Decimal(1), Decimal(0))
    again = venue.call(user_signed(ann, {"type": "approveAgent", "agentAddress": bob.address, "agentName": "x"}))
    assert again == refused("Extra agent already used.")


def test_bought_requests_cost_money_and_count(venue: Venue, ann: Wallet, bob: Wallet) -> None:
    assert venue.call(ann.sign({"type": "reserveRequestWeight", "weight": 1_000})) == DONE
    assert money(venue, ann) == {"": Decimal("-0.5")}
    assert venue.exchange.budget.body(ann.address)["nRequestsSurplus"] == 999
    gift = {"type": "reserveRequestWeight", "weight": 10, "destination": bob.address}
    assert venue.call(ann.sign(gift)) == DONE
    assert venue.exchange.budget.body(bob.address)["nRequestsSurplus"] == 10
    dear = venue.call(ann.sign({"type": "reserveRequestWeight", "weight": 4_000_000_000}))
    assert dear == refused("Insufficient balance for withdrawal.")


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ({"type": "setReferrer", "code": "X"}, "Referral code not registered"),
        (
            {"type": "createSubAccount", "name": "x"},
            "Cannot create sub-accounts until enough volume traded. Required: $100000. Traded: $0.",
        ),
        (
            {"type": "vaultTransfer", "vaultAddress": f"0x{'ab' * 20}", "isDeposit": True, "usd": 1},
            "Action vaultTransfer is not supported by this simulated venue.",
        ),
    ],
)
def test_action_that_is_not_offered_is_refused_with_a_text(venue: Venue, ann: Wallet, action: Json, said: str) -> None:
    assert venue.call(ann.sign(action)) == refused(said)
