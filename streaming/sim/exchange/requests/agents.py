"""Agents (API wallets): keys that trade for a master.

Rule 1: a master has one unnamed agent and three named ones; a name that is used again replaces its agent at once.
Rule 2: an agent that is replaced, removed, revoked or expired loses its nonces, and is unknown from then on.
Rule 3: an address is the agent of one master, once; approving it a second time is refused while it is one.
Rule 4: ` valid_until <ms>` behind the name sets the end, at most 180 days ahead; without it the end is in 90 days.

Source: hyperliquid-protocol.md, sections 3.4 and 6; texts, the 90 days and the removal by the zero address: observed by
others on testnet in September 2026. There an expired agent works on for a while; here it ends on time.
"""

import re
from dataclasses import dataclass

from streaming.sim.exchange.events import Json
from streaming.sim.exchange.requests import refusals
from streaming.sim.exchange.requests.nonces import Nonces
from streaming.sim.exchange.requests.refusals import Refusal
from streaming.sim.exchange.times import DAY_MS

NAMED_COUNT_MAX = 3
NAME_LENGTH_MAX = 16
VALID_MS_DEFAULT = 90 * DAY_MS
VALID_MS_MAX = 180 * DAY_MS
REMOVAL_MS = 5_000
"""After a removal the master can approve nobody for this long."""
RETIRED_COUNT_MAX = 10_000
"""Addresses of former agents that are remembered as such."""
ZERO_ADDRESS = f"0x{0:040x}"
_WITH_END = re.compile(r"(?:(.*) )?valid_until ([0-9]{1,15})", re.ASCII | re.DOTALL).fullmatch


@dataclass(frozen=True, slots=True)
class Agent:
    """One key that acts for a master."""

    address: str
    master: str
    name: str
    """Empty for the unnamed one."""
    valid_until_ms: int

    @property
    def body(self) -> Json:
        """Item of `extraAgents`."""
        return {"name": self.name, "address": self.address, "validUntil": self.valid_until_ms}


class Agents:
    """Who acts for whom."""

    def __init__(self, nonces: Nonces) -> None:
        self._nonces = nonces
        self._by_address: dict[str, Agent] = {}
        self._by_master: dict[str, dict[str, Agent]] = {}
        self._retired: dict[str, None] = {}
        self._removed_ms: dict[str, int] = {}

    def find(self, address: str, now_ms: int) -> Agent | None:
        """Return the agent with an address, or None; one whose end has come is dropped here."""
        agent = self._by_address.get(address)
        if agent is not None and agent.valid_until_ms <= now_ms:
            self._drop(agent)
            return None
        return agent

    def of(self, master: str, now_ms: int) -> list[Agent]:
        """Return the agents of a master, the unnamed one included, oldest first."""
        agents = tuple(self._by_master.get(master, {}).values())
        return [agent for agent in agents if self.find(agent.address, now_ms) is agent]

    def is_retired(self, address: str) -> bool:
        """Tell whether an address was an agent and is none now."""
        return address in self._retired

    def approve(self, master: str, address: str, text: str, now_ms: int) -> Refusal | None:
        """Make an address an agent, or remove one (zero address), and return why not, or None.

        Args:
            master: Signer of the approval.
            address: Lower-case address of the new agent.
            text: `agentName` as sent, its ` valid_until` included.
            now_ms: Time of the block.
        """
        matched = _WITH_END(text)
        name = (matched[1] or "") if matched else text
        end_ms = int(matched[2]) if matched else now_ms + VALID_MS_DEFAULT
        present = {agent.name: agent for agent in self.of(master, now_ms)}
        refused = self._refusal(master, address, name, end_ms - now_ms, present)
        if refused is None and now_ms < self._removed_ms.get(master, -REMOVAL_MS) + REMOVAL_MS:
            refused = Refusal(refusals.AGENT_PENDING_REMOVAL)
        if refused is not None:
            return refused
        if name in present:
            self._drop(present[name])
        if address == ZERO_ADDRESS:
            self._removed_ms[master] = now_ms
            return None
        agent = Agent(address, master, name, end_ms)
        self._retired.pop(address, None)
        self._by_address[address] = agent
        self._by_master.setdefault(master, {})[name] = agent
        return None

    def revoke(self, address: str) -> None:
        """Drop an agent as if its master had removed it; nothing happens for an address that is none."""
        agent = self._by_address.get(address)
        if agent is not None:
            self._drop(agent)

    def prune(self) -> None:
        """Drop every agent: what happens to those of masters without funds."""
        for agent in tuple(self._by_address.values()):
            self._drop(agent)

    def _refusal(
        self, master: str, address: str, name: str, valid_ms: int, present: dict[str, Agent]
    ) -> Refusal | None:
        if len(name) > NAME_LENGTH_MAX:
            return Refusal(refusals.AGENT_NAME_TOO_LONG)
        if address == ZERO_ADDRESS:
            return None if name in present else Refusal(refusals.AGENT_UNKNOWN)
        if address == master or address in self._by_address:
            return Refusal(refusals.AGENT_USED)
        if not 0 < valid_ms <= VALID_MS_MAX:
            return Refusal(refusals.AGENT_EXPIRED)
        named_count = sum(1 for other in present if other and other != name)
        if name and named_count >= NAMED_COUNT_MAX:
            return Refusal(refusals.too_many_agents(NAMED_COUNT_MAX))
        return None

    def _drop(self, agent: Agent) -> None:
        del self._by_address[agent.address]
        del self._by_master[agent.master][agent.name]
        self._retired[agent.address] = None
        if len(self._retired) > RETIRED_COUNT_MAX:
            del self._retired[next(iter(self._retired))]
        self._nonces.forget(agent.address)
