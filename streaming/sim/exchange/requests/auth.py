"""Who a request comes from, and for whom it may act.

Rule 1: at arrival (`authorize`) the signer is recovered and finds its account: its own, or its master's.
Rule 2: at its block (`admit`) the nonce is used and `expiresAfter` is compared, so a `noop` with the same nonce that
    is executed first stops an order that is on its way.
Rule 3: user-signed actions act for the signer itself; an agent that signs one is an address without an account.
Rule 4: on an open venue an unknown signer of an L1 action is a new account, so that a client needs no set-up. A client
    that signs wrongly (other network, fields hashed that the server drops) would be a new account at every request;
    that is noticed as soon as the address it meant is known or comes a second time, and refused as on the real venue.

Source: hyperliquid-protocol.md, sections 3.4, 3.5, 4 and 6.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from streaming.hyperliquid import signing
from streaming.hyperliquid.signing import SigningError
from streaming.sim.exchange.events import Json
from streaming.sim.exchange.requests import refusals
from streaming.sim.exchange.requests.account_actions import ReserveRequestWeight
from streaming.sim.exchange.requests.actions import SignedRequest
from streaming.sim.exchange.requests.agents import Agent, Agents
from streaming.sim.exchange.requests.nonces import Nonces
from streaming.sim.exchange.requests.refusals import Refusal
from streaming.sim.scenario.rules import VenueRules

STALE_REQUEST_FACTOR = 5
"""What an action costs of the address budget that arrives after its `expiresAfter`."""

MEANT_COUNT_MAX = 10_000
"""Addresses that new accounts may have meant to sign with, the newest."""

Known = Callable[[str], bool]
"""Whether an address has an account."""


@dataclass(frozen=True, slots=True)
class Authorized:
    """A request whose signer may act."""

    user: str
    """Account it acts for, lower case."""
    signer: str
    """Address whose key signed: `user` itself or its agent; nonces are the signer's."""


class Authority:
    """Signers, agents and nonces."""

    def __init__(self, rules: VenueRules) -> None:
        self._is_mainnet = rules.network == "mainnet"
        self._is_open = rules.is_open
        self._nonces = Nonces()
        self._agents = Agents(self._nonces)
        self._meant: dict[str, str] = {}
        """Address a new account may have meant to sign with → address that came out."""

    def authorize(self, request: SignedRequest, now_ms: int, known: Known) -> Authorized | Refusal:
        """Find out at arrival for whom a request acts; nothing is used up by it."""
        try:
            signer = self._recover(request)
        except SigningError:
            signer = None
        if signer is None:
            return Refusal(refusals.UNRECOVERABLE)
        check = self._own_account if request.is_user_signed else self._account
        found = check(request, signer, now_ms, known)
        if isinstance(found, Refusal):
            return found
        if request.vault is not None:
            return Refusal(refusals.vault_unknown(request.vault))
        return self._nonces.refusal(signer, request.nonce, now_ms) or Authorized(found, signer)

    def admit(self, request: SignedRequest, authorized: Authorized, block_ms: int) -> Refusal | None:
        """Let an authorized request into its block: its nonce is used from now on.

        Returns:
            Why not: the agent is gone, the nonce was used meanwhile, or the action is stale. A stale one has used its
            nonce, and costs `request_factor` times its requests.
        """
        signer = authorized.signer
        if signer != authorized.user and self._agents.find(signer, block_ms) is None:
            return Refusal(refusals.unknown_signer(signer))
        refused = self._nonces.refusal(signer, request.nonce, block_ms)
        if refused is not None:
            return refused
        self._nonces.use(signer, request.nonce)
        if request.expires_after is not None and block_ms > request.expires_after:
            return Refusal(refusals.EXPIRED, STALE_REQUEST_FACTOR)
        return None

    # --- agents

    def approve_agent(self, master: str, address: str, name: str, now_ms: int) -> Refusal | None:
        """Make an address an agent of `master`, or remove one, and return why not, or None."""
        return self._agents.approve(master, address.lower(), name, now_ms)

    def agents_of(self, user: str, now_ms: int) -> list[Json]:
        """Return the body of `extraAgents`: named agents only, as on the real venue."""
        return [agent.body for agent in self._agents.of(user, now_ms) if agent.name]

    def unnamed_agent_of(self, user: str, now_ms: int) -> Agent | None:
        """Return the agent without a name: `agentAddress` of `webData3`."""
        return next((agent for agent in self._agents.of(user, now_ms) if not agent.name), None)

    def role_of(self, address: str, now_ms: int, known: Known) -> Json:
        """Return the body of `userRole`."""
        agent = self._agents.find(address, now_ms)
        if agent is not None:
            return {"role": "agent", "data": {"user": agent.master}}
        return {"role": "user" if known(address) else "missing"}

    def revoke(self, address: str) -> None:
        """Fault: an agent is gone, its nonces with it."""
        self._agents.revoke(address)

    def prune(self) -> None:
        """Fault: all agents are gone."""
        self._agents.prune()

    # --- signers

    def _account(self, request: SignedRequest, signer: str, now_ms: int, known: Known) -> str | Refusal:
        agent = self._agents.find(signer, now_ms)
        if agent is not None:
            is_masters = isinstance(request.action, ReserveRequestWeight)
            return Refusal(refusals.must_deposit(signer)) if is_masters else agent.master
        if known(signer) and not self._agents.is_retired(signer):
            return signer
        if (
            not self._is_open
            or self._agents.is_retired(signer)
            or self._is_meant_otherwise(request, signer, now_ms, known)
        ):
            return Refusal(refusals.unknown_signer(signer))
        return signer

    def _own_account(self, request: SignedRequest, signer: str, now_ms: int, known: Known) -> str | Refusal:
        action = request.raw_action
        inner: object = action.get("time", action.get("nonce"))
        is_strange = not self._is_open and not known(signer)
        if action.get("hyperliquidChain") != self._chain or is_strange or self._agents.find(signer, now_ms) is not None:
            return Refusal(refusals.must_deposit(signer))
        if request.expires_after is not None:
            return Refusal(refusals.EXPIRES_AFTER_UNSUPPORTED)
        if inner != request.nonce:
            return Refusal(refusals.nonce_mismatch(inner, request.nonce))
        return signer

    @property
    def _chain(self) -> str:
        return "Mainnet" if self._is_mainnet else "Testnet"

    def _recover(self, request: SignedRequest) -> str | None:
        if request.is_user_signed:
            # Signed for the other network, the server recovers an address of its own making: same text, other address.
            action = {**request.raw_action, "hyperliquidChain": self._chain}
            return signing.recover_address(signing.user_signed_digest(action), request.signature)
        return _recover_l1(request, request.hashed, is_mainnet=self._is_mainnet)

    def _is_meant_otherwise(self, request: SignedRequest, signer: str, now_ms: int, known: Known) -> bool:
        """Tell whether the signature fits an address we know of, had the client been right in hashing what it did."""
        others = dict.fromkeys(other for other in self._other_signers(request) if other != signer)
        if any(known(other) or self._agents.find(other, now_ms) is not None for other in others):
            return True
        if any(self._meant.get(other, signer) != signer for other in others):
            return True
        self._meant |= dict.fromkeys(others, signer)
        while len(self._meant) > MEANT_COUNT_MAX:
            del self._meant[next(iter(self._meant))]
        return False

    def _other_signers(self, request: SignedRequest) -> Iterator[str]:
        for hashed, is_mainnet in (
            (request.hashed, not self._is_mainnet),
            (request.raw_action, self._is_mainnet),
            (request.raw_action, not self._is_mainnet),
        ):
            try:
                signer = _recover_l1(request, hashed, is_mainnet=is_mainnet)
            except SigningError:
                continue
            if signer is not None:
                yield signer


def _recover_l1(request: SignedRequest, hashed: object, *, is_mainnet: bool) -> str | None:
    connection_id = signing.action_hash(hashed, request.nonce, request.vault, request.expires_after)
    return signing.recover_address(signing.l1_digest(connection_id, is_mainnet=is_mainnet), request.signature)
