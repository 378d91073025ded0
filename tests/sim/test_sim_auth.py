from collections.abc import Callable
from typing import Any

import pytest
from sim_market_view import START_MS
from sim_requests import Wallet, order_action, order_item

from streaming.hyperliquid.signing import action_hash, l1_digest, sign_digest, user_signed_digest
from streaming.sim.exchange.requests.actions import SignedRequest, read_request
from streaming.sim.exchange.requests.auth import Authority, Authorized
from streaming.sim.exchange.requests.refusals import Refusal
from streaming.sim.scenario.rules import VenueRules

Json = Any
ORDER = order_action(order_item(True, "190", "1"))
DAY_MS = 86_400_000


class Desk:
    """An authority and the addresses that have an account."""

    def __init__(self, **rules: Json) -> None:
        self.authority = Authority(VenueRules(**rules))
        self.known: set[str] = set()

    def authorize(self, body: Json, *, at_ms: int = 0) -> Authorized | Refusal:
        return self.authority.authorize(read_request(body), START_MS + at_ms, self.known.__contains__)

    def enter(self, body: Json) -> Authorized:
        """Authorize what must be; whoever acts has an account from then on."""
        found = self.authorize(body)
        assert isinstance(found, Authorized), found
        self.known.add(found.user)
        return found

    def text(self, body: Json, *, at_ms: int = 0) -> str:
        """Return the text with which a request must be refused at arrival."""
        found = self.authorize(body, at_ms=at_ms)
        assert isinstance(found, Refusal), found
        return found.text

    def admit(self, body: Json, *, at_ms: int = 0) -> Refusal | None:
        """Let a request that is fine at arrival into its block."""
        request = read_request(body)
        found = self.authority.authorize(request, START_MS, self.known.__contains__)
        assert isinstance(found, Authorized), found
        return self.authority.admit(request, found, START_MS + at_ms)

    def approve(self, master: Wallet, agent: Wallet, name: str = "", *, at_ms: int = 0) -> str | None:
        self.known.add(master.address)
        refused = self.authority.approve_agent(master.address, agent.address, name, START_MS + at_ms)
        return None if refused is None else refused.text

    def named(self, master: Wallet, *, at_ms: int = 0) -> dict[str, str]:
        bodies = self.authority.agents_of(master.address, START_MS + at_ms)
        return {body["name"]: body["address"] for body in bodies}


def l1_body(wallet: Wallet, action: Json, *, is_mainnet: bool = False, vault: str | None = None) -> Json:
    nonce = wallet.next_nonce()
    signature = sign_digest(l1_digest(action_hash(action, nonce, vault, None), is_mainnet=is_mainnet), wallet.key)
    return {"action": action, "nonce": nonce, "signature": signature.body, "vaultAddress": vault}


def user_body(wallet: Wallet, changes: Json | None = None, **envelope: Json) -> Json:
    """A `usdClassTransfer` of testnet."""
    nonce = wallet.next_nonce()
    action = {
        "type": "usdClassTransfer", "signatureChainId": "0x66eee", "hyperliquidChain": "Testnet", "amount": "1",
        "toPerp": True, "nonce": nonce,
    } | (changes or {})  # fmt: skip
    signature = sign_digest(user_signed_digest(action), wallet.key)
    return {"action": action, "nonce": nonce, "signature": signature.body} | envelope


def missing(address: str) -> str:
    return f"User or API Wallet {address} does not exist."


@pytest.fixture
def ann() -> Wallet:
    return Wallet(1)


@pytest.fixture
def bot() -> Wallet:
    return Wallet(2)


# --- who signs


def test_unknown_signer_of_an_l1_action_is_a_new_account(ann: Wallet) -> None:
    assert Desk().enter(ann.sign(ORDER)) == Authorized(ann.address, ann.address)


def test_unknown_signer_stays_welcome_before_anybody_keeps_an_account_of_it(ann: Wallet) -> None:
    desk = Desk()
    for _ in range(3):
        assert desk.authorize(ann.sign(ORDER)) == Authorized(ann.address, ann.address)


def test_field_that_the_server_drops_does_not_matter_when_it_was_not_hashed(ann: Wallet) -> None:
    body = ann.sign(ORDER)
    body["action"] = ORDER | {"unheardOf": 2**70}
    assert Desk().enter(body) == Authorized(ann.address, ann.address)


def test_unknown_signer_on_a_closed_venue_does_not_exist(ann: Wallet) -> None:
    desk = Desk(is_open=False)
    assert desk.text(ann.sign(ORDER)) == missing(ann.address)
    desk.known.add(ann.address)
    assert desk.enter(ann.sign(ORDER)).user == ann.address


def test_mainnet_venue_takes_mainnet_signatures(ann: Wallet) -> None:
    desk = Desk(network="mainnet")
    assert desk.enter(l1_body(ann, ORDER, is_mainnet=True)).user == ann.address
    assert desk.enter(user_body(ann, {"hyperliquidChain": "Mainnet"})).user == ann.address


@pytest.mark.parametrize("v", [26, 29])
def test_signature_without_a_signer_is_told(ann: Wallet, v: int) -> None:
    body = ann.sign(ORDER)
    assert Desk().text(body | {"signature": body["signature"] | {"v": v}}) == "Unable to recover signer."


def test_signature_of_other_content_recovers_somebody_who_does_not_exist(ann: Wallet) -> None:
    desk = Desk(is_open=False)
    desk.known.add(ann.address)
    body = ann.sign(ORDER)
    texts = {
        desk.text(body | changes)
        for changes in (
            {"nonce": body["nonce"] + 1},
            {"expiresAfter": START_MS},
            {"vaultAddress": f"0x{'12' * 20}"},
            {"action": ORDER | {"grouping": {"p": 1}}},
        )
    }
    assert len(texts) == 4
    assert all(text.startswith("User or API Wallet 0x") and ann.address not in text for text in texts)


def wrong_network(wallet: Wallet) -> Json:
    return l1_body(wallet, ORDER, is_mainnet=True)


def hashed_what_the_server_drops(wallet: Wallet) -> Json:
    return wallet.sign({"type": "cancel", "cancels": [{"a": 1, "o": 1}], "f": False})


@pytest.mark.parametrize("make", [wrong_network, hashed_what_the_server_drops])
def test_known_client_that_signs_wrongly_is_refused_with_another_address_each_time(
    ann: Wallet, make: Callable[[Wallet], Json]
) -> None:
    desk = Desk()
    desk.known.add(ann.address)
    texts = {desk.text(make(ann)), desk.text(make(ann))}
    assert len(texts) == 2
    assert all(text.startswith("User or API Wallet 0x") and ann.address not in text for text in texts)


@pytest.mark.parametrize("make", [wrong_network, hashed_what_the_server_drops])
def test_new_client_that_signs_wrongly_is_refused_from_its_second_request_on(
    ann: Wallet, make: Callable[[Wallet], Json]
) -> None:
    desk = Desk()
    assert desk.enter(make(ann)).user != ann.address
    assert "does not exist" in desk.text(make(ann))
    assert desk.enter(ann.sign(ORDER)).user == ann.address  # it is right at last


def test_agent_that_signs_for_the_other_network_is_refused(ann: Wallet, bot: Wallet) -> None:
    desk = Desk()
    desk.approve(ann, bot)
    assert "does not exist" in desk.text(wrong_network(bot))


def test_vault_is_not_registered(ann: Wallet) -> None:
    vault = f"0x{'12' * 20}"
    assert Desk().text(l1_body(ann, ORDER, vault=vault)) == f"Vault not registered: {vault}"


# --- user-signed actions


def test_user_signed_action_acts_for_its_signer(ann: Wallet) -> None:
    assert Desk().enter(user_body(ann)) == Authorized(ann.address, ann.address)


def test_user_signed_action_of_an_agent_is_of_an_address_without_account(ann: Wallet, bot: Wallet) -> None:
    desk = Desk()
    desk.approve(ann, bot)
    assert desk.text(user_body(bot)) == f"Must deposit before performing actions. User: {bot.address}"


def test_user_signed_action_for_the_other_chain_is_of_some_other_address(ann: Wallet) -> None:
    text = Desk().text(user_body(ann, {"hyperliquidChain": "Mainnet"}))
    assert text.startswith("Must deposit before performing actions. User: 0x")
    assert ann.address not in text


def test_user_signed_action_on_a_closed_venue_needs_an_account(ann: Wallet) -> None:
    desk = Desk(is_open=False)
    assert desk.text(user_body(ann)) == f"Must deposit before performing actions. User: {ann.address}"


def test_user_signed_action_with_another_nonce_than_the_request_is_refused(ann: Wallet) -> None:
    body = user_body(ann)
    assert Desk().text(body | {"nonce": body["nonce"] + 1}).startswith("Invalid nonce: action nonce")


def test_user_signed_action_takes_neither_expiry_nor_vault(ann: Wallet) -> None:
    desk = Desk()
    assert "expiresAfter" in desk.text(user_body(ann, expiresAfter=START_MS))
    assert "Vault not registered" in desk.text(user_body(ann, vaultAddress=f"0x{'12' * 20}"))


def test_user_signed_action_with_a_field_out_of_form_has_no_signer(ann: Wallet) -> None:
    body = user_body(ann)
    body["action"]["signatureChainId"] = "mainnet"
    assert Desk().text(body) == "Unable to recover signer."


def test_user_signed_action_that_is_not_offered_finds_its_signer(ann: Wallet) -> None:
    nonce = ann.next_nonce()
    action = {
        "type": "tokenDelegate", "signatureChainId": "0x66eee", "hyperliquidChain": "Testnet",
        "validator": f"0x{'12' * 20}", "wei": 5, "isUndelegate": False, "nonce": nonce,
    }  # fmt: skip
    assert Desk().enter(ann.sign_user(action, nonce)).user == ann.address


# --- nonces and expiry


def test_nonce_is_used_in_the_block_and_not_at_arrival(ann: Wallet) -> None:
    desk = Desk()
    order, noop = ann.sign(ORDER, nonce=START_MS), ann.sign({"type": "noop"}, nonce=START_MS)
    on_its_way = desk.enter(order)
    assert desk.admit(noop) is None
    refused = desk.authority.admit(read_request(order), on_its_way, START_MS)
    assert refused == Refusal(f"Invalid nonce: duplicate nonce {START_MS}")
    assert desk.text(order) == f"Invalid nonce: duplicate nonce {START_MS}"


def test_nonces_of_agent_and_master_are_apart(ann: Wallet, bot: Wallet) -> None:
    desk = Desk()
    desk.approve(ann, bot)
    assert desk.admit(ann.sign(ORDER, nonce=START_MS)) is None
    assert desk.admit(bot.sign(ORDER, nonce=START_MS)) is None


@pytest.mark.parametrize(("late_ms", "is_stale"), [(-1, False), (0, False), (1, True)])
def test_expiry_is_compared_with_the_block_and_costs_five_times(ann: Wallet, late_ms: int, is_stale: bool) -> None:
    desk = Desk()
    body = ann.sign(ORDER, expires_after=START_MS + 300)
    refused = desk.admit(body, at_ms=300 + late_ms)
    assert refused == (Refusal("Action already expired", request_factor=5) if is_stale else None)
    assert "duplicate nonce" in desk.text(body)


# --- agents


def test_agent_acts_for_its_master(ann: Wallet, bot: Wallet) -> None:
    desk = Desk()
    assert desk.approve(ann, bot, "bot") is None
    assert desk.enter(bot.sign(ORDER)) == Authorized(ann.address, bot.address)


def test_agent_can_not_buy_requests_for_its_master(ann: Wallet, bot: Wallet) -> None:
    desk = Desk()
    desk.approve(ann, bot)
    reserve = {"type": "reserveRequestWeight", "weight": 1}
    assert desk.text(bot.sign(reserve)) == f"Must deposit before performing actions. User: {bot.address}"
    assert desk.enter(ann.sign(reserve)).user == ann.address


def test_roles_and_agents_are_told(ann: Wallet, bot: Wallet) -> None:
    desk = Desk()
    stranger, other = Wallet(9), Wallet(3)
    desk.approve(ann, bot, f"bot valid_until {START_MS + DAY_MS}")
    desk.approve(ann, other)
    known = desk.known.__contains__
    roles = [desk.authority.role_of(wallet.address, START_MS, known) for wallet in (ann, bot, stranger)]
    assert roles == [
        {"role": "user"}, {"role": "agent", "data": {"user": ann.address}}, {"role": "missing"},
    ]  # fmt: skip
    assert desk.authority.agents_of(ann.address, START_MS) == [
        {"name": "bot", "address": bot.address, "validUntil": START_MS + DAY_MS}
    ]
    unnamed = desk.authority.unnamed_agent_of(ann.address, START_MS)
    assert unnamed is not None
    assert (unnamed.address, unnamed.valid_until_ms) == (other.address, START_MS + 90 * DAY_MS)
    assert desk.authority.unnamed_agent_of(bot.address, START_MS) is None


@pytest.mark.parametrize("name", ["", "bot"])
def test_agent_of_the_same_name_replaces_at_once_and_loses_its_nonces(ann: Wallet, bot: Wallet, name: str) -> None:
    desk = Desk()
    new = Wallet(3)
    desk.approve(ann, bot, name)
    order = bot.sign(ORDER)
    assert desk.admit(order) is None
    assert desk.approve(ann, new, f"{name} valid_until {START_MS + DAY_MS}") is None
    assert desk.text(bot.sign(ORDER)) == missing(bot.address)
    assert desk.enter(new.sign(ORDER)).user == ann.address
    assert desk.approve(ann, bot, "again") is None
    assert desk.admit(order) is None  # the replay the documents warn of


def test_request_on_its_way_does_not_survive_its_agent(ann: Wallet, bot: Wallet) -> None:
    desk = Desk()
    desk.approve(ann, bot)
    order = bot.sign(ORDER)
    on_its_way = desk.enter(order)
    desk.authority.revoke(bot.address)
    assert desk.authority.admit(read_request(order), on_its_way, START_MS) == Refusal(missing(bot.address))


def test_three_named_agents_and_one_unnamed_are_allowed(ann: Wallet) -> None:
    desk = Desk()
    names = ["a", "b", "c", ""]
    assert [desk.approve(ann, Wallet(10 + place), name) for place, name in enumerate(names)] == [None] * 4
    refused = desk.approve(ann, Wallet(20), "d")
    assert refused == "Too many extra agents for cumulative volume traded. Current limit is 3"
    assert desk.approve(ann, Wallet(21), "b") is None
    assert desk.named(ann) == {"a": Wallet(10).address, "b": Wallet(21).address, "c": Wallet(12).address}


def test_agent_of_somebody_can_not_be_approved_again(ann: Wallet, bot: Wallet) -> None:
    desk = Desk()
    desk.approve(ann, bot, "bot")
    used = "Extra agent already used."
    assert [desk.approve(ann, bot, "bot"), desk.approve(Wallet(5), bot), desk.approve(ann, ann)] == [used] * 3


def test_agent_ends_when_it_said_and_loses_its_nonces(ann: Wallet, bot: Wallet) -> None:
    desk = Desk()
    desk.approve(ann, bot, f"bot valid_until {START_MS + 1_000}")
    order = bot.sign(ORDER)
    assert desk.admit(order, at_ms=999) is None
    assert desk.text(bot.sign(ORDER), at_ms=1_000) == missing(bot.address)
    assert desk.named(ann, at_ms=1_000) == {}
    assert desk.approve(ann, bot, "bot", at_ms=1_000) is None
    assert desk.admit(order, at_ms=1_000) is None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (f"bot valid_until {START_MS}", "Agent valid_until already expired."),
        (f"bot valid_until {START_MS + 180 * DAY_MS + 1}", "Agent valid_until already expired."),
        (f"bot valid_until {START_MS + 180 * DAY_MS}", None),
        (f"valid_until {START_MS + 1}", None),
        (f"{'x' * 16} valid_until {START_MS + 1}", None),
        ("x" * 16, None),
        ("x" * 17, "Agent name is too long."),
        ("bot valid_until soon", "Agent name is too long."),
    ],
)
def test_agent_name_and_end_have_bounds(ann: Wallet, bot: Wallet, name: str, said: str | None) -> None:
    assert Desk().approve(ann, bot, name) == said


@pytest.mark.parametrize("name", ["", "bot"])
def test_zero_address_removes_an_agent_and_bars_approvals_for_a_while(ann: Wallet, bot: Wallet, name: str) -> None:
    desk = Desk()
    nobody = Wallet(9)
    nobody.address = f"0x{0:040x}"
    assert desk.approve(ann, nobody, name) == "Extra agent does not exist."
    desk.approve(ann, bot, name)
    assert desk.approve(ann, nobody, name, at_ms=10) is None
    assert desk.text(bot.sign(ORDER)) == missing(bot.address)
    assert desk.approve(ann, Wallet(4), name, at_ms=5_009) == "User has pending agent removal"
    assert desk.approve(ann, Wallet(4), name, at_ms=5_010) is None


def test_faults_take_agents_away(ann: Wallet, bot: Wallet) -> None:
    desk = Desk()
    other = Wallet(3)
    desk.approve(ann, bot, "bot")
    desk.approve(Wallet(5), other)
    desk.authority.revoke(bot.address)
    desk.authority.revoke(ann.address)  # no agent: nothing happens
    assert desk.text(bot.sign(ORDER)) == missing(bot.address)
    assert desk.enter(other.sign(ORDER)).user == Wallet(5).address
    desk.authority.prune()
    assert desk.text(other.sign(ORDER)) == missing(other.address)
    desk.known.add(other.address)  # somebody looked at it: it stays what it was
    assert desk.text(other.sign(ORDER)) == missing(other.address)


def test_reading_a_request_changes_nothing_of_it(ann: Wallet) -> None:
    body = ann.sign(ORDER)
    request = read_request(body)
    assert isinstance(request, SignedRequest)
    Desk().authorize(body)
    assert request.raw_action == ORDER
