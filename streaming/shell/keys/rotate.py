"""Replaces a key by a new one: the new file lies beside the old, and the master approves it under the same name.

Rule: an agent address is never used twice, so every rotation makes a key; the old file stays until it is verified that
the venue has forgotten it, because it is what closes positions until then.
"""

from pathlib import Path

import msgspec

from streaming.shell.keys.agent_key import key_facts, make_key, next_key_file
from streaming.shell.keys.approval import AgentTerms, MasterStep, master_step, step_text


class Rotated(msgspec.Struct, frozen=True, kw_only=True):
    """A new key and what the master has to sign for it."""

    old_address: str
    key_file: str
    """Of the new key."""
    master_step: MasterStep


def rotate(key_file: Path, password_file: Path | None, terms: AgentTerms, now_ts_ms: int) -> Rotated:
    """Make the key that replaces the one in `key_file`, of the same kind.

    Args:
        key_file: The old key; it is not changed.
        password_file: Password of the new keystore; None asks at the terminal.
        terms: Name and end of the new approval.
        now_ts_ms: When it is made.

    Raises:
        ConfigError: If the old file is unsafe or the password can not be had.
        StoreError: If the new file can not be written.
    """
    old = key_facts(key_file)
    new_file = next_key_file(key_file)
    made = make_key(new_file, old.kind, password_file, now_ts_ms=now_ts_ms, replaces=old.address)
    return Rotated(old_address=old.address, key_file=str(new_file), master_step=master_step(terms, made.address))


def rotated_text(rotated: Rotated) -> str:
    """Return what was done and what is left, for a person."""
    return (
        f"made {rotated.master_step.agent_address} in {rotated.key_file}\n{step_text(rotated.master_step)}\n"
        f"then: set agent_key_file to {rotated.key_file}, restart `hip3 run`, and run `hip3 keys revoke --verify` on "
        "the old file"
    )
