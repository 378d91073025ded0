"""Asks whether a start would be refused, and says everything that stands against it."""

import json
import os
from collections.abc import Iterator, Sequence

import aiohttp
import msgspec

from streaming.core.errors import PreflightRefused
from streaming.core.market import MarketSpec
from streaming.shell.config.account_checks import account_findings, refusals_of
from streaming.shell.config.doctor import Finding, agent_key
from streaming.shell.config.schema import Config
from streaming.shell.control.status_text import table
from streaming.shell.process import assemble
from streaming.shell.process.lock import AlreadyRunning, holder_of
from streaming.shell.process.sockets import PortOccupied, listening


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What preflight found."""

    refusals: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    specs: tuple[MarketSpec, ...] = ()
    subscription_count: int = 0
    findings: tuple[Finding, ...] = ()
    """What was asked about account and plan; with a key to sign with, everything that failed is a refusal too."""


async def preflight(config: Config) -> Verdict:
    """Look at this machine, ask the venue and plan, without opening a websocket or writing a file."""
    local = tuple(_local_refusals(config))
    async with aiohttp.ClientSession() as http:
        client = assemble.info_client(config, http)
        try:
            plan = await assemble.checked_plan(config, client)
        except PreflightRefused as refused:
            return Verdict(refusals=local + refused.reasons)
        agent_address, found = agent_key(config)
        found += await account_findings(config, client, agent_address, specs=plan.specs)
    against = refusals_of(found)
    is_trading = bool(config.agent_key_file)
    return Verdict(
        refusals=local + (against if is_trading else ()),
        warnings=plan.warnings + (() if is_trading else against),
        specs=plan.specs,
        subscription_count=len(assemble.subscriptions(config, plan.specs)),
        findings=tuple(found),
    )


def _local_refusals(config: Config) -> Iterator[str]:
    """Say what `hip3 run` would exit 4, 5 or 6 with."""
    root = config.root
    nearest = next(path for path in (root, *root.parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        yield f"warehouse: expected a folder that can be written, found {nearest}; check its owner, or pass --warehouse"
    if pid := holder_of(root, config.venue, config.account):
        yield str(AlreadyRunning(config.venue, config.account, pid))
    elif config.control_port in {entry.port for entry in listening()}:
        yield str(PortOccupied(config.control_port, "control_port"))


def preflight_text(values: Sequence[tuple[str, str, str]], config_hash: str, verdict: Verdict) -> str:
    """Return values with their sources, the markets, and the verdict."""
    parts = [table(("key", "value", "source"), values), f"config_hash {config_hash}\n"]
    if verdict.specs:
        rows = [
            (spec.coin, str(spec.asset_id), str(spec.sz_decimals), f"{spec.taker_fee_bps}", spec.spec_version)
            for spec in verdict.specs
        ]
        parts.append(table(("market", "asset_id", "sz_decimals", "taker_fee_bps", "spec_version"), rows))
        parts.append(f"{len(rows)} markets, {verdict.subscription_count} subscriptions\n")
    if verdict.findings:
        asked = [(finding.level.upper(), finding.name, finding.detail) for finding in verdict.findings]
        parts.append(table(("", "asked", "found"), asked))
    parts.append("".join(f"warning: {text}\n" for text in verdict.warnings))
    parts.append("".join(f"refused: {text}\n" for text in verdict.refusals) or "may start\n")
    return "\n".join(part for part in parts if part)


def preflight_json(values: Sequence[tuple[str, str, str]], config_hash: str, verdict: Verdict) -> str:
    """Return the same as JSON."""
    body = {
        "may_start": not verdict.refusals,
        "config_hash": config_hash,
        "config": {key: {"value": value, "source": source} for key, value, source in values},
        **msgspec.to_builtins(verdict),
    }
    return json.dumps(body) + "\n"
