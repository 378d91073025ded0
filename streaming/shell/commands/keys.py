"""`hip3 keys`: make, show, check, rotate and revoke the key of an agent; sign one action to compare implementations."""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from streaming.shell.config.options import add_config_arguments, add_json_argument, add_operator_argument

if TYPE_CHECKING:
    import msgspec

    from streaming.shell.config.schema import Config
    from streaming.shell.info.venues import Venue
    from streaming.shell.keys.agent_key import KeyFacts
    from streaming.shell.keys.approval import AgentTerms
    from streaming.shell.keys.rotate import Rotated

HELP = "make, show, check, rotate and revoke an agent's key; sign one action"
VALID_DAYS = 90
_ACTION_BYTES_MAX = 1024 * 1024


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verbs."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, (text, add, _) in _VERBS.items():
        # Unabbreviated: `--password X` must not become `--password-file X`, whose error would print what was typed.
        add(verbs.add_parser(name, help=text, description=text, allow_abbrev=False))


def run(args: argparse.Namespace) -> int:
    """Run the verb: 0 done, 1 the answer is no, 2 a file or an option can not be used."""
    code: int = _VERBS[args.verb][2](args)
    return code


# --- options


def _add_key_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--key-file", type=Path, required=True, metavar="K", help="keystore, or raw key of 64 hex digits"
    )


def _add_key(parser: argparse.ArgumentParser) -> None:
    _add_key_file(parser)
    parser.add_argument(
        "--password-file", type=Path, metavar="P", help="password of the keystore (mode 0600); else it is typed"
    )


def _add_new(parser: argparse.ArgumentParser) -> None:
    _add_key(parser)
    parser.add_argument("--raw", action="store_true", help="64 hex digits without a password instead of a keystore")
    add_json_argument(parser)


def _add_show(parser: argparse.ArgumentParser) -> None:
    _add_key_file(parser)
    add_json_argument(parser)


def _add_check(parser: argparse.ArgumentParser) -> None:
    _add_key(parser)
    add_config_arguments(parser)


def _add_terms(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", metavar="N", help="name of the agent at the venue; default the one it has there")
    parser.add_argument(
        "--valid-days", type=int, default=VALID_DAYS, metavar="D", help=f"days of a new approval, 1-180 ({VALID_DAYS})"
    )


def _add_rotate(parser: argparse.ArgumentParser) -> None:
    _add_key(parser)
    _add_terms(parser)
    add_config_arguments(parser)


def _add_revoke(parser: argparse.ArgumentParser) -> None:
    _add_key_file(parser)
    _add_terms(parser)
    parser.add_argument("--verify", action="store_true", help="ask the venue whether the agent is gone, and retire it")
    add_config_arguments(parser)


def _add_leaked(parser: argparse.ArgumentParser) -> None:
    _add_rotate(parser)
    add_operator_argument(parser)


def _add_approve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--master-key-file", type=Path, required=True, metavar="M", help="key of a simulated account")
    parser.add_argument("--password-file", type=Path, metavar="P", help="password of that keystore")
    parser.add_argument("--agent", required=True, metavar="A", help="address of the agent")
    _add_terms(parser)
    add_config_arguments(parser)


def _add_sign_action(parser: argparse.ArgumentParser) -> None:
    _add_key(parser)
    parser.add_argument(
        "--network", required=True, choices=("mainnet", "testnet"), help="which network it is signed for"
    )
    parser.add_argument("--nonce", type=int, required=True, metavar="N", help="milliseconds")
    parser.add_argument("--vault", metavar="A", help="address of the sub-account traded for")
    parser.add_argument(
        "--expires-after", type=int, metavar="MS", help="the venue refuses the action after this instant"
    )
    add_json_argument(parser)


# --- verbs


def _new(args: argparse.Namespace) -> int:
    from streaming.shell.keys.agent_key import KeyKind, key_facts, make_key

    kind = KeyKind.RAW if args.raw else KeyKind.KEYSTORE
    made = make_key(args.key_file, kind, args.password_file, now_ts_ms=_now_ts_ms())
    text = f"agent {made.address}\n{kind} key in {args.key_file}, mode 0600; next, the master approves it: docs/keys.md"
    return _say(args, key_facts(args.key_file), text)


def _show(args: argparse.Namespace) -> int:
    from streaming.shell.keys.agent_key import key_facts

    facts = key_facts(args.key_file)
    return _say(args, facts, _facts_text(facts))


def _check(args: argparse.Namespace) -> int:
    from streaming.shell.keys.check import check_key, report_text

    account, venue = (None, None)
    if args.venue is not None:
        config = _config(args)
        account, venue = _account(config), _venue(config)
    report = check_key(args.key_file, args.password_file, venue=venue, account=account, now_ts_ms=_now_ts_ms())
    _say(args, report, report_text(report))
    return 0 if report.is_good else 1


def _rotate(args: argparse.Namespace) -> int:
    from streaming.shell.keys.rotate import rotated_text

    rotated = _rotated(args)
    return _say(args, rotated, rotated_text(rotated))


def _revoke(args: argparse.Namespace) -> int:
    from streaming.core.errors import ConfigError
    from streaming.shell.keys.agent_key import key_facts
    from streaming.shell.keys.approval import master_step, step_text
    from streaming.shell.keys.check import verify_revoked
    from streaming.shell.keys.seen import SeenAgents

    config, facts = _config(args), key_facts(args.key_file)
    if args.verify:
        verdict = verify_revoked(args.key_file, facts.address, _venue(config), _account(config), _now_ts_ms())
        _say(args, verdict, verdict.text)
        return 0 if verdict.is_revoked else 1
    if facts.replacement is None:
        raise ConfigError(
            f"expected a key that replaces {facts.address}, found none beside {args.key_file}; there is no revoke on "
            "the wire: make one with `hip3 keys rotate`, or wait until the approval expires (`hip3 keys check --venue`)"
        )
    SeenAgents(args.key_file).refuse_retired(facts.replacement)
    step = master_step(_terms(args, config, facts.address), facts.replacement)
    return _say(args, step, step_text(step) + "\nthen: `hip3 keys revoke --verify` looks whether it was done")


def _leaked(args: argparse.Namespace) -> int:
    import time

    from streaming.shell.control.client import connect, operator_of
    from streaming.shell.keys.runbook import drill_text, leaked

    pause = partial(time.sleep, 0.5)
    drill = leaked(lambda: connect(args), operator_of(args.operator), lambda: _rotated(args), pause)
    _say(args, drill, drill_text(drill))
    return 0 if drill.is_done else 1


def _approve(args: argparse.Namespace) -> int:
    from streaming.core.errors import ConfigError
    from streaming.shell.keys.agent_key import read_key
    from streaming.shell.keys.approval import agent_terms, approve_on_sim, master_step, refuse_real_venue

    config = _config(args)
    refuse_real_venue(config.venue)
    if args.name is None:
        raise ConfigError("--name: expected the name of the agent, found none")
    terms = agent_terms(venue=config.venue, name=args.name, valid_days=args.valid_days, now_ts_ms=_now_ts_ms())
    step = master_step(terms, args.agent)
    approve_on_sim(_venue(config), read_key(args.master_key_file, args.password_file), step)
    return _say(args, step, f"approved {step.agent_address} as {step.agent_name!r} for {args.valid_days} days")


def _sign_action(args: argparse.Namespace) -> int:
    import msgspec

    from streaming.shell.keys.agent_key import read_key
    from streaming.shell.keys.sign_action import sign_action

    signer = read_key(args.key_file, args.password_file).signer(is_mainnet=args.network == "mainnet")
    signed = sign_action(
        signer,
        sys.stdin.buffer.read(_ACTION_BYTES_MAX),
        nonce=args.nonce,
        vault=args.vault.lower() if args.vault else None,
        expires_after_ts_ms=args.expires_after,
    )
    sys.stdout.write(msgspec.json.encode(signed).decode() + "\n")
    return 0


# --- parts


def _rotated(args: argparse.Namespace) -> "Rotated":
    from streaming.shell.keys.agent_key import key_facts
    from streaming.shell.keys.rotate import rotate

    terms = _terms(args, _config(args), key_facts(args.key_file).address)
    return rotate(args.key_file, args.password_file, terms, _now_ts_ms())


def _terms(args: argparse.Namespace, config: "Config", address: str) -> "AgentTerms":
    from streaming.core.errors import ConfigError
    from streaming.shell.keys.approval import agent_terms, approval_of

    name = args.name
    if name is None:
        name = approval_of(_venue(config), _account(config), address, _now_ts_ms()).name
    if name is None:
        raise ConfigError(f"--name: expected the name of the agent {address}: {config.venue} knows none for it")
    return agent_terms(venue=config.venue, name=name, valid_days=args.valid_days, now_ts_ms=_now_ts_ms())


def _config(args: argparse.Namespace) -> "Config":
    from streaming.shell.config.options import load

    return load(args).config


def _venue(config: "Config") -> "Venue":
    from streaming.shell.info.venues import venue_named

    return venue_named(config.venue, sim_port=config.sim_port)


def _account(config: "Config") -> str:
    from streaming.core.errors import ConfigError

    if not config.account:
        raise ConfigError("--account: expected the master address whose agent this is, found none")
    return config.account.lower()


def _now_ts_ms() -> int:
    from streaming.core.units import NS_PER_MS
    from streaming.shell.clock import SystemClock

    return SystemClock().ts_ns() // NS_PER_MS


def _facts_text(facts: "KeyFacts") -> str:
    from streaming.core.units import NS_PER_DAY, NS_PER_MS

    age_days = (_now_ts_ms() - facts.made_ts_ms) * NS_PER_MS // NS_PER_DAY
    lines = [f"agent {facts.address}", f"{facts.kind} key in {facts.key_file}, {age_days} days old"]
    if facts.replacement is not None:
        lines.append(f"to be replaced by {facts.replacement}")
    if facts.is_retired:
        lines.append("retired: never to be used again")
    return "\n".join(lines)


def _say(args: argparse.Namespace, result: "msgspec.Struct", text: str) -> int:
    import msgspec

    sys.stdout.write((msgspec.json.encode(result).decode() if args.json else text) + "\n")
    return 0


_Verb = tuple[str, Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], int]]
_VERBS: dict[str, _Verb] = {
    "new": ("make a key in a new file of mode 0600 and print its address", _add_new, _new),
    "show": ("print address, kind and age of a key; a keystore stays closed", _add_show, _show),
    "check": ("check the file and the key; with --venue also the approval and its end", _add_check, _check),
    "rotate": ("make the key that replaces one, and print what the master signs", _add_rotate, _rotate),
    "revoke": ("print what the master signs so that a key ends; --verify looks whether it did", _add_revoke, _revoke),
    "leaked": ("others may have the key: latch, cancel all, flatten, revoke, new key", _add_leaked, _leaked),
    "approve": ("approve an agent on the simulated venue, where a master's key may lie here", _add_approve, _approve),
    "sign-action": ("sign the action on standard input and print hash and signature", _add_sign_action, _sign_action),
}
