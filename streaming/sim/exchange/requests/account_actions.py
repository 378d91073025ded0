"""Actions on an account rather than on orders: agents, builders, modes, transfers.

Rule: user-signed ones name the chain they were signed for and carry their nonce; they are hashed as sent.

Source: hyperliquid-protocol.md, sections 3.3 and 3.4.
"""

from typing import Literal

from msgspec.structs import force_setattr

from streaming.sim.exchange.requests.action_base import U32, U64, ActionBase, Address, Number


class ReserveRequestWeight(ActionBase, frozen=True, tag="reserveRequestWeight"):
    """Buys requests of the address budget."""

    weight: U32
    destination: Address | None = None

    def __post_init__(self) -> None:
        if self.destination is not None:
            force_setattr(self, "destination", self.destination.lower())


class SetReferrer(ActionBase, frozen=True, tag="setReferrer"):
    """Names a referral code."""

    code: str


class CreateSubAccount(ActionBase, frozen=True, tag="createSubAccount"):
    """Opens a sub-account."""

    name: str


class AgentEnableDexAbstraction(ActionBase, frozen=True, tag="agentEnableDexAbstraction"):
    """Turns the deprecated dex abstraction on."""


class AgentSetAbstraction(ActionBase, frozen=True, tag="agentSetAbstraction"):
    """Sets the account's mode, signed by an agent: `i` disabled, `u` unified, `p` portfolio margin."""

    abstraction: Literal["i", "u", "p"]


class AgentSendAsset(ActionBase, frozen=True, tag="agentSendAsset", rename="camel"):
    """Moves collateral between dexes of one account; an agent may sign it."""

    destination: Address
    source_dex: str
    destination_dex: str
    token: str
    amount: Number
    from_sub_account: str
    nonce: U64

    def __post_init__(self) -> None:
        force_setattr(self, "destination", self.destination.lower())


class UserSignedBase(ActionBase, frozen=True, rename="camel"):
    """An action signed as typed data, by the account's own key."""

    signature_chain_id: str
    hyperliquid_chain: Literal["Mainnet", "Testnet"]


class ApproveAgent(UserSignedBase, frozen=True, tag="approveAgent", rename="camel"):
    """Lets another key act for the account; the zero address withdraws."""

    agent_address: Address
    nonce: U64
    agent_name: str | None = None


class ApproveBuilderFee(UserSignedBase, frozen=True, tag="approveBuilderFee", rename="camel"):
    """Lets a builder take a fee; `0.001%`."""

    max_fee_rate: str
    builder: Address
    nonce: U64


class UsdClassTransfer(UserSignedBase, frozen=True, tag="usdClassTransfer", rename="camel"):
    """Moves USDC between spot and the validator dex; the amount may end in ` subaccount:0x…`."""

    amount: str
    to_perp: bool
    nonce: U64


class UsdSend(UserSignedBase, frozen=True, tag="usdSend", rename="camel"):
    """Sends USDC of the validator dex to another address."""

    destination: Address
    amount: Number
    time: U64


class Withdraw(UserSignedBase, frozen=True, tag="withdraw3", rename="camel"):
    """Takes USDC of the validator dex out of the venue."""

    destination: Address
    amount: Number
    time: U64


class SendAsset(UserSignedBase, frozen=True, tag="sendAsset", rename="camel"):
    """Moves a token between dexes, spot and addresses."""

    destination: Address
    source_dex: str
    destination_dex: str
    token: str
    amount: Number
    from_sub_account: str
    nonce: U64


class UserSetAbstraction(UserSignedBase, frozen=True, tag="userSetAbstraction", rename="camel"):
    """Sets the account's mode."""

    user: Address
    abstraction: Literal["disabled", "unifiedAccount", "portfolioMargin"]
    nonce: U64


class UserDexAbstraction(UserSignedBase, frozen=True, tag="userDexAbstraction", rename="camel"):
    """Turns the deprecated dex abstraction on or off."""

    user: Address
    enabled: bool
    nonce: U64


UserSignedAction = (
    ApproveAgent
    | ApproveBuilderFee
    | UsdClassTransfer
    | UsdSend
    | Withdraw
    | SendAsset
    | UserSetAbstraction
    | UserDexAbstraction
)
AccountAction = (
    UserSignedAction
    | ReserveRequestWeight
    | SetReferrer
    | CreateSubAccount
    | AgentEnableDexAbstraction
    | AgentSetAbstraction
    | AgentSendAsset
)
"""What `user_actions.UserActions.apply` executes."""
