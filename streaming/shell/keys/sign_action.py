"""Signs one action from JSON, so that two implementations can be compared byte by byte.

Rule 1: an L1 action is hashed as it was given, key order included; nothing is completed or corrected.
Rule 2: the network that was asked for and the one a user-signed action names must be the same, its nonce as well.
"""

import msgspec

from streaming.core.errors import ConfigError
from streaming.hyperliquid.signing import USER_SIGNED, Signer, SigningError, action_hash, user_signed_digest

_MULTI_SIG = "multiSig"


class SignedAction(msgspec.Struct, frozen=True, kw_only=True):
    """A hash and its signature."""

    action_hash: str
    """Connection id of an L1 action; EIP-712 digest of a user-signed one."""
    r: str
    s: str
    v: int
    signer: str


def sign_action(
    signer: Signer, raw: bytes, *, nonce: int, vault: str | None, expires_after_ts_ms: int | None
) -> SignedAction:
    """Sign the action in `raw`, user-signed or L1 by its type.

    Raises:
        ConfigError: For what is no action, can not be hashed, or contradicts the options.
    """
    action = _action_of(raw)
    try:
        if action["type"] in USER_SIGNED:
            _refuse_contradiction(signer, action, nonce, vault, expires_after_ts_ms)
            hashed, signature = user_signed_digest(action), signer.sign_user_action(action)
        else:
            hashed = action_hash(action, nonce, vault, expires_after_ts_ms)
            signature = signer.sign_l1(msgspec.msgpack.encode(action), nonce, vault, expires_after_ts_ms)
    except SigningError as error:
        raise ConfigError(f"the action can not be signed: {error}; correct it") from error
    body = signature.body
    return SignedAction(
        action_hash=f"0x{hashed.hex()}", r=str(body["r"]), s=str(body["s"]), v=signature.v, signer=signer.address
    )


def _action_of(raw: bytes) -> dict[str, object]:
    try:
        action = msgspec.json.decode(raw, type=dict[str, object])
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ConfigError(f"expected an action as one JSON object on standard input, found {str(error)[:80]}") from None
    kind = action.get("type")
    if not isinstance(kind, str):
        raise ConfigError("expected an action with a text `type`, found none; pass the object under `action`")
    if kind == _MULTI_SIG:
        raise ConfigError("expected an L1 or user-signed action, found multiSig: its envelope is not signed here")
    return action


def _refuse_contradiction(
    signer: Signer, action: dict[str, object], nonce: int, vault: str | None, expires_after_ts_ms: int | None
) -> None:
    network = "Mainnet" if signer.is_mainnet else "Testnet"
    named = str(action.get("hyperliquidChain"))
    if named != network:
        raise ConfigError(f"expected hyperliquidChain {network}, as --network says, found {named[:20]!r}")
    if action.get("time", action.get("nonce")) != nonce:
        raise ConfigError("expected --nonce to equal the nonce (or time) inside the user-signed action")
    if vault is not None or expires_after_ts_ms is not None:
        raise ConfigError("expected no --vault and no --expires-after: a user-signed action has neither")
