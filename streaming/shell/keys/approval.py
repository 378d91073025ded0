"""What the venue knows of an agent, and the step by which its master approves one.

Why this module exists: an agent's key signs orders and nothing else. Who is an agent, under which name and for how long
is decided by the master's key, which has no place on this machine; what is left to us is to say exactly what the master
has to sign, and to look whether it was done.

Rule: there is no revoke on the wire: an agent ends when its name is approved for another address, or expires.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import aiohttp
import msgspec

from streaming.core.errors import ConfigError, OutcomeUnknown, Rejected
from streaming.core.units import NS_PER_DAY, NS_PER_MS
from streaming.hyperliquid.actions import ActionError, ApproveAgent, approve_agent, user_signed_body
from streaming.shell.info.rest import InfoClient
from streaming.shell.info.venues import Venue
from streaming.shell.keys.agent_key import AgentKey

VALID_DAYS_MAX: Final = 180
EXPIRY_WARN_DAYS: Final = 14
_DAY_MS: Final = NS_PER_DAY // NS_PER_MS
_TIMEOUT: Final = aiohttp.ClientTimeout(total=15)
_T = TypeVar("_T")


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """Whether an address is an agent of an account, as the venue says."""

    venue: str
    account: str
    address: str
    is_approved: bool
    role: str
    """The venue's word for the address: `agent`, `user`, `missing` …"""
    name: str | None
    """None for an agent without a name, and for one that is not approved."""
    valid_until_ts_ms: int | None
    days_left: int | None


class AgentTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Under which name an agent is approved, where and until when; made by `agent_terms`."""

    venue: str
    name: str
    valid_until_ts_ms: int
    nonce: int


class MasterStep(msgspec.Struct, frozen=True, kw_only=True):
    """What the master has to sign, away from this machine."""

    venue: str
    agent_address: str
    agent_name: str
    valid_until_ts_ms: int
    action: ApproveAgent
    """Unsigned; its nonce is good for two days."""


def approval_of(venue: Venue, account: str, address: str, now_ts_ms: int) -> Approval:
    """Ask the venue whether `address` is an agent of `account`.

    Raises:
        VenueError: If the venue can not be asked.
    """

    async def ask(info: InfoClient) -> Approval:
        role = await info.user_role(address)
        agents = await info.extra_agents(account)
        named = next((agent for agent in agents if agent.address == address), None)
        until_ms = named.valid_until_ms if named else None
        days_left = None if until_ms is None else (until_ms - now_ts_ms) // _DAY_MS
        return Approval(
            venue=venue.name,
            account=account,
            address=address,
            is_approved=role.role == "agent" and role.master == account and (days_left is None or days_left >= 0),
            role=role.role,
            name=named.name if named else None,
            valid_until_ts_ms=until_ms,
            days_left=days_left,
        )

    return asyncio.run(_with_info(venue, ask))


def agent_terms(*, venue: str, name: str, valid_days: int, now_ts_ms: int) -> AgentTerms:
    """Return the terms of an approval, checked before any key is made for it.

    Raises:
        ConfigError: For a name or a number of days out of form.
    """
    if not 1 <= valid_days <= VALID_DAYS_MAX:
        raise ConfigError(f"--valid-days: expected 1-{VALID_DAYS_MAX}, found {valid_days}")
    until_ts_ms = now_ts_ms + valid_days * _DAY_MS
    terms = AgentTerms(venue=venue, name=name, valid_until_ts_ms=until_ts_ms, nonce=now_ts_ms)
    master_step(terms, f"0x{0:040x}")
    return terms


def master_step(terms: AgentTerms, agent_address: str) -> MasterStep:
    """Return the approval of an address; an agent of the same name is replaced by it.

    Raises:
        ConfigError: For an address or a name out of form.
    """
    try:
        action = approve_agent(
            agent_address=agent_address,
            name=terms.name,
            valid_until_ts_ms=terms.valid_until_ts_ms,
            nonce=terms.nonce,
            is_mainnet=terms.venue == "mainnet",
        )
    except ActionError as error:
        raise ConfigError(str(error)) from error
    return MasterStep(
        venue=terms.venue,
        agent_address=action.agent_address,
        agent_name=terms.name,
        valid_until_ts_ms=terms.valid_until_ts_ms,
        action=action,
    )


def step_text(step: MasterStep) -> str:
    """Return the step for a person."""
    network = "mainnet" if step.venue == "mainnet" else "testnet"
    return "\n".join(
        (
            f"the master of the account signs, away from this machine, for {step.venue}:",
            f"  approve the agent {step.agent_address} under the name {step.agent_name!r}",
            "  either in the venue's page (More, API), or as this action, nonce included:",
            f"  {msgspec.json.encode(step.action).decode()}",
            f"  (`hip3 keys sign-action --network {network} --nonce {step.action.nonce}` signs it where that key is)",
            f"an agent that has the name {step.agent_name!r} now is replaced by it at once",
        )
    )


def refuse_real_venue(name: str) -> None:
    """Raise `ConfigError` unless `name` is the simulated venue's.

    A master's key can withdraw, so no command of ours may want it on a machine that trades.
    """
    if name != "sim":
        raise ConfigError(
            f"--venue: expected sim, found {name}; a master's key can withdraw and does not belong on this machine: "
            "approve the agent in the venue's page"
        )


def approve_on_sim(venue: Venue, master: AgentKey, step: MasterStep) -> None:
    """Sign a step with a master's key and send it to the simulated venue.

    Raises:
        ConfigError: For any other venue.
        VenueError: If the venue can not be reached, or refuses.
    """
    refuse_real_venue(venue.name)
    asyncio.run(_post_exchange(venue, user_signed_body(master.signer(is_mainnet=False), step.action)))


async def _post_exchange(venue: Venue, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    url = f"{venue.base_url}/exchange"
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as http,
            http.post(url, data=body, headers=headers, allow_redirects=False) as response,
        ):
            answer = await response.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise OutcomeUnknown(
            f"expected an answer of {url}, found {type(error).__name__}; is `hip3 venue` up?"
        ) from error
    text = answer[:200].decode(errors="replace")
    if b'"status":"ok"' not in answer.replace(b" ", b""):
        raise Rejected("approve_agent", text)


async def _with_info(venue: Venue, ask: Callable[[InfoClient], Awaitable[_T]]) -> _T:
    async with aiohttp.ClientSession() as http:
        return await ask(InfoClient(venue.base_url, session=http))
