"""Who an account is and what it holds: from REST bodies of the info endpoint to the words of the core.

Why this module exists: the right to sign, balances and positions are decided on what these bodies say, so what is not
exactly such an answer is none: a read that failed is asked again, a number that was guessed is traded on.

Rule 1: as in `info`: Decimals from wire strings, `OutcomeUnknown` for a body that is no such answer, unknown fields
ignored.
Rule 2: what is journaled later is bounded here: ids fit 64 bits, names 64 characters, an address is lower case.

Source: hyperliquid.gitbook.io, "Info endpoint", "Perpetuals"; recorded bodies of 2025-12 to 2026-09.
"""

from decimal import Decimal
from typing import Annotated, Literal

import msgspec

from streaming.core.trading.model import DexAccount, VenuePosition
from streaming.core.units import ZERO
from streaming.hyperliquid.info import parse_body
from streaming.hyperliquid.number import plain_decimal, unsigned_decimal
from streaming.hyperliquid.wire import Id, VenueTime

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
_Text = Annotated[str, msgspec.Meta(max_length=64)]
_Address = Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-fA-F]{40}$")]


class _Part(msgspec.Struct, frozen=True, rename="camel"):
    pass


# --- who the address is, and what it may do


class UserRole(msgspec.Struct, frozen=True, kw_only=True):
    """What an address is to the venue; `master` is set for an agent and for a sub-account."""

    role: str
    """`user`, `agent`, `subAccount`, `vault` or `missing`."""
    master: str | None = None


class AgentInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A named agent that may sign for the account; the unnamed one is not listed by the venue."""

    name: str
    address: str
    valid_until_ms: int | None


class AddressBudget(msgspec.Struct, frozen=True, kw_only=True):
    """Requests of the account over its life: 10,000 and one for each USD traded."""

    used_count: int
    cap_count: int
    surplus_count: int
    """Reserved (paid for) and not used yet."""
    cum_vlm_usd: Decimal

    @property
    def left_count(self) -> int:
        """Requests that may still be sent before the address is limited to one in ten seconds."""
        return max(0, self.cap_count + self.surplus_count - self.used_count)


class _WireRoleData(_Part, frozen=True, rename="camel"):
    user: _Address | None = None
    master: _Address | None = None


class _WireRole(_Part, frozen=True, rename="camel"):
    role: _Name
    data: _WireRoleData | None = None


class _WireAgent(_Part, frozen=True, rename="camel"):
    name: _Text
    address: _Address
    valid_until: VenueTime | None = None


class _WireBudget(_Part, frozen=True, rename="camel"):
    cum_vlm: str
    used: Id = msgspec.field(name="nRequestsUsed")
    cap: Id = msgspec.field(name="nRequestsCap")
    surplus: Id = msgspec.field(name="nRequestsSurplus", default=0)


def parse_user_role(body: bytes) -> UserRole:
    """Return `userRole`."""
    return parse_body("userRole", body, _WireRole, _role)


def _role(wire: _WireRole) -> UserRole:
    data = wire.data or _WireRoleData()
    master = data.user or data.master
    return UserRole(role=wire.role, master=None if master is None else master.lower())


def parse_extra_agents(body: bytes) -> tuple[AgentInfo, ...]:
    """Return `extraAgents`: the named agents."""
    return parse_body(
        "extraAgents",
        body,
        list[_WireAgent],
        lambda agents: tuple(
            AgentInfo(name=agent.name, address=agent.address.lower(), valid_until_ms=agent.valid_until)
            for agent in agents
        ),
    )


def parse_user_rate_limit(body: bytes) -> AddressBudget:
    """Return `userRateLimit`."""
    return parse_body(
        "userRateLimit",
        body,
        _WireBudget,
        lambda wire: AddressBudget(
            used_count=wire.used,
            cap_count=wire.cap,
            surplus_count=wire.surplus,
            cum_vlm_usd=unsigned_decimal(wire.cum_vlm),
        ),
    )


def parse_user_abstraction(body: bytes) -> str:
    """Return `userAbstraction`: `disabled`, `default`, `unifiedAccount`, `portfolioMargin`, `dexAbstraction`, ..."""
    return parse_body("userAbstraction", body, _Name, str)


# --- balances and positions


class SpotBalance(msgspec.Struct, frozen=True, kw_only=True):
    """Balance of one token; `hold` of it is bound by orders."""

    coin: str
    token: int
    total: Decimal
    hold: Decimal


class AssetLeverage(msgspec.Struct, frozen=True, kw_only=True):
    """Leverage that the account's next order in a market would use, and what it could trade."""

    coin: str
    leverage: int
    is_isolated: bool
    buy_usd_max: Decimal
    sell_usd_max: Decimal


class _WireLeverage(_Part, frozen=True, rename="camel"):
    type: Literal["cross", "isolated"]
    value: Annotated[int, msgspec.Meta(ge=1, le=10_000)]


class _WirePosition(_Part, frozen=True, rename="camel"):
    coin: _Name
    szi: str
    leverage: _WireLeverage
    unrealized_pnl: str
    margin_used: str
    entry_px: str | None = None
    liquidation_px: str | None = None


class _WireAssetPosition(_Part, frozen=True, rename="camel"):
    position: _WirePosition


class _WireSummary(_Part, frozen=True, rename="camel"):
    account_value: str


class _WireState(_Part, frozen=True, rename="camel"):
    margin_summary: _WireSummary
    withdrawable: str
    asset_positions: list[_WireAssetPosition]
    time: VenueTime


class _WireBalance(_Part, frozen=True, rename="camel"):
    coin: _Name
    token: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
    total: str
    hold: str = "0"


class _WireSpotState(_Part, frozen=True, rename="camel"):
    balances: list[_WireBalance]


class _WireAssetData(_Part, frozen=True, rename="camel"):
    coin: _Name
    leverage: _WireLeverage
    available_to_trade: tuple[str, str]


def parse_clearinghouse_state(body: bytes, dex: str) -> DexAccount:
    """Return `clearinghouseState` of `dex`, which the body itself does not name."""
    return parse_body("clearinghouseState", body, _WireState, lambda state: _dex_account(state, dex))


def _dex_account(state: _WireState, dex: str) -> DexAccount:
    positions = [_position(item.position) for item in state.asset_positions]
    return DexAccount(
        dex=dex,
        account_value=amount(state.margin_summary.account_value),
        withdrawable=amount(state.withdrawable),
        positions=tuple(position for position in positions if position.sz),
        venue_ts_ms=state.time,
    )


def _position(wire: _WirePosition) -> VenuePosition:
    return VenuePosition(
        coin=wire.coin,
        sz=amount(wire.szi),
        entry_px=None if wire.entry_px is None else unsigned_decimal(wire.entry_px),
        unrealised_pnl=amount(wire.unrealized_pnl),
        margin_used=amount(wire.margin_used),
        liquidation_px=None if wire.liquidation_px is None else amount(wire.liquidation_px),
        leverage=wire.leverage.value,
        is_isolated=wire.leverage.type == "isolated",
    )


def parse_spot_state(body: bytes) -> tuple[SpotBalance, ...]:
    """Return the balances of `spotClearinghouseState`; with a unified account they are the collateral of all dexes."""
    return parse_body(
        "spotClearinghouseState",
        body,
        _WireSpotState,
        lambda state: tuple(
            SpotBalance(coin=item.coin, token=item.token, total=amount(item.total), hold=amount(item.hold))
            for item in state.balances
        ),
    )


def parse_active_asset_data(body: bytes) -> AssetLeverage:
    """Return leverage and room of `activeAssetData`; its pairs are for buying and for selling."""
    return parse_body("activeAssetData", body, _WireAssetData, _asset_leverage)


def _asset_leverage(wire: _WireAssetData) -> AssetLeverage:
    buy_usd, sell_usd = map(amount, wire.available_to_trade)
    return AssetLeverage(
        coin=wire.coin,
        leverage=wire.leverage.value,
        is_isolated=wire.leverage.type == "isolated",
        buy_usd_max=buy_usd,
        sell_usd_max=sell_usd,
    )


def amount(text: str) -> Decimal:
    """Return an amount of either sign; the venue spells a loss that rounds to nothing as -0.0, which is 0 here.

    Raises:
        WireNumberError: The text is no plain number.
    """
    return ZERO if text in {"-0.0", "-0"} else plain_decimal(text)
