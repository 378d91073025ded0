"""Executes the actions on an account: agents, builders, modes, transfers, bought requests.

Rule 1: the action was admitted before, so its signer may act for the user; what is left to refuse is what it asks for.
Rule 2: an account keeps one balance per dex whatever mode it names; the mode decides what is refused.

Source: hyperliquid-protocol.md, sections 3.3 and 3.4.
"""

import re
from decimal import Decimal
from typing import Final

from streaming.core.units import ZERO
from streaming.sim.exchange.accounts import transfers
from streaming.sim.exchange.accounts.accounts import Accounts
from streaming.sim.exchange.accounts.transfers import SPOT, Transfer
from streaming.sim.exchange.orders.orders import OrderStore
from streaming.sim.exchange.requests import account_actions as act
from streaming.sim.exchange.requests import refusals
from streaming.sim.exchange.requests.auth import Authority
from streaming.sim.exchange.requests.budget import REQUEST_PRICE_USD, Budget
from streaming.sim.exchange.requests.refusals import Refusal
from streaming.sim.scenario.universe import COLLATERAL_NAMES, VALIDATOR_DEX

BUILDER_COUNT_MAX = 10
BUILDER_FEE_RATIO_MAX = Decimal("0.01")
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,8})?)%", re.ASCII).fullmatch
_CLASS_AMOUNT = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,8})?)(?: subaccount:(0x[0-9a-fA-F]{40}))?", re.ASCII).fullmatch
_SHORT: Final = {"i": "disabled", "u": "unifiedAccount", "p": "portfolioMargin"}
_UNIFIED: Final = frozenset({"unifiedAccount", "portfolioMargin"})
_Mode = act.UserSetAbstraction | act.UserDexAbstraction | act.AgentSetAbstraction | act.AgentEnableDexAbstraction
_Move = act.UsdClassTransfer | act.UsdSend | act.Withdraw | act.SendAsset | act.AgentSendAsset


class UserActions:
    """What accounts decide about themselves."""

    def __init__(self, *, authority: Authority, budget: Budget, accounts: Accounts, orders: OrderStore) -> None:
        self._authority = authority
        self._budget = budget
        self._accounts = accounts
        self._orders = orders
        self._collaterals = {
            dex.name: COLLATERAL_NAMES.get(dex.collateral_token) for dex in accounts.universe.dexes
        } | {SPOT: COLLATERAL_NAMES[0]}

    def apply(self, user: str, action: act.AccountAction, now_ms: int) -> Refusal | None:
        """Execute an action of an admitted request and return why not, or None."""
        match action:
            case act.ApproveAgent():
                return self._authority.approve_agent(user, action.agent_address, action.agent_name or "", now_ms)
            case act.ApproveBuilderFee():
                return self._approve_builder(user, action)
            case act.ReserveRequestWeight():
                text = self._reserve(user, action, now_ms)
            case act.SetReferrer():
                text = refusals.REFERRAL_UNKNOWN
            case act.CreateSubAccount():
                text = refusals.sub_account_volume(self._accounts.of(user).volumes.total_usd)
            case (
                act.UserSetAbstraction()
                | act.UserDexAbstraction()
                | act.AgentSetAbstraction()
                | act.AgentEnableDexAbstraction()
            ):
                text = self._set_mode(user, action)
            case _:
                text = self._move(user, action, now_ms)
        return None if text is None else Refusal(text)

    def _set_mode(self, user: str, action: _Mode) -> str | None:
        if isinstance(action, act.UserSetAbstraction | act.UserDexAbstraction) and action.user.lower() != user:
            return refusals.USER_MISMATCH
        self._accounts.of(user).abstraction = _named(action)
        return None

    def _approve_builder(self, user: str, action: act.ApproveBuilderFee) -> Refusal | None:
        matched = _PERCENT(action.max_fee_rate)
        ratio = Decimal(matched[1]) / 100 if matched else None
        if ratio is None or ratio > BUILDER_FEE_RATIO_MAX:
            return Refusal(refusals.BUILDER_FEE_INVALID)
        approved, builder = self._accounts.of(user).builder_fee_max, action.builder.lower()
        if ratio == ZERO:
            approved.pop(builder, None)
        elif builder not in approved and len(approved) >= BUILDER_COUNT_MAX:
            return Refusal(refusals.TOO_MANY_BUILDERS)
        else:
            approved[builder] = ratio
        return None

    def _reserve(self, user: str, action: act.ReserveRequestWeight, now_ms: int) -> str | None:
        usd = action.weight * REQUEST_PRICE_USD
        text = self._accounts.charge(user, VALIDATOR_DEX, usd, self._orders.live(user, VALIDATOR_DEX), now_ms)
        if text is None:
            self._budget.reserve(action.destination or user, action.weight)
        return text

    # --- money

    def _move(self, user: str, action: _Move, now_ms: int) -> str | None:
        match action:
            case act.UsdClassTransfer():
                return self._change_class(user, action, now_ms)
            case act.UsdSend():
                ends = (VALIDATOR_DEX, VALIDATOR_DEX)
                sent = self._transfer(user, action.destination, ends, action.amount, action.time)
                return transfers.send_usd(self._accounts, sent, now_ms)
            case act.Withdraw():
                usd, resting = Decimal(action.amount), self._orders.live(user, VALIDATOR_DEX)
                if not transfers.is_amount(usd):
                    return refusals.AMOUNT_INVALID
                return self._accounts.withdraw(user, VALIDATOR_DEX, usd, resting, now_ms)
            case act.SendAsset() | act.AgentSendAsset():
                return self._send_asset(user, action, now_ms)

    def _change_class(self, user: str, action: act.UsdClassTransfer, now_ms: int) -> str | None:
        matched = _CLASS_AMOUNT(action.amount)
        if matched is None:
            return refusals.AMOUNT_INVALID
        if matched[2] is not None:
            return refusals.vault_unknown(matched[2].lower())
        if self._accounts.of(user).abstraction in _UNIFIED:
            return refusals.UNIFIED
        ends = (SPOT, VALIDATOR_DEX) if action.to_perp else (VALIDATOR_DEX, SPOT)
        moved = self._transfer(user, user, ends, matched[1], action.nonce)
        return transfers.change_class(self._accounts, moved, now_ms)

    def _send_asset(self, user: str, action: act.SendAsset | act.AgentSendAsset, now_ms: int) -> str | None:
        ends = (action.source_dex, action.destination_dex)
        if action.from_sub_account:
            return refusals.vault_unknown(action.from_sub_account.lower())
        if isinstance(action, act.AgentSendAsset) and action.destination != user:
            return refusals.AGENT_SENDS_AWAY
        if not self._collaterals.keys() >= set(ends):
            return refusals.DEX_UNKNOWN
        if action.token.partition(":")[0] != self._collaterals[action.source_dex]:
            return refusals.COLLATERAL_ONLY
        sent = self._transfer(user, action.destination, ends, action.amount, action.nonce)
        return transfers.send(self._accounts, sent, now_ms)

    def _transfer(self, user: str, destination: str, ends: tuple[str, str], amount: str, nonce: int) -> Transfer:
        source, target = ends
        return Transfer(
            user=user,
            destination=destination.lower(),
            source=source,
            target=target,
            usd=Decimal(amount),
            nonce=nonce,
            resting=() if source == SPOT else tuple(self._orders.live(user, source)),
        )


def _named(action: _Mode) -> str:
    match action:
        case act.UserSetAbstraction():
            return action.abstraction
        case act.AgentSetAbstraction():
            return _SHORT[action.abstraction]
        case act.UserDexAbstraction():
            return "dexAbstraction" if action.enabled else "disabled"
        case act.AgentEnableDexAbstraction():
            return "dexAbstraction"
