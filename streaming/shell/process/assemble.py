"""From a configuration to a plan and to parts: what `run` and `preflight` share."""

import secrets
from datetime import UTC, datetime
from random import Random

import aiohttp

from streaming.core.errors import PreflightRefused, RateLimited, VenueError
from streaming.core.market import MarketSpec
from streaming.core.registry import RegistryPlan
from streaming.core.state import SessionInfo
from streaming.core.trading.ready import USER_CHANNELS
from streaming.core.units import NS_PER_S
from streaming.hyperliquid.session import Session, Subscription
from streaming.shell.config.schema import Config, config_hash
from streaming.shell.info.registry import load_registry
from streaming.shell.info.rest import InfoClient
from streaming.shell.info.venues import venue_named
from streaming.shell.process.version import code_version


def new_session_id(ts_ns: int) -> str:
    """Return a session id that sorts by its start."""
    moment = datetime.fromtimestamp(ts_ns / NS_PER_S, tz=UTC)
    return f"{moment:%Y%m%dT%H%M%S}{moment.microsecond // 1000:03d}-{secrets.token_hex(3)}"


def session_info(config: Config, ts_ns: int, *, agent: str = "") -> SessionInfo:
    """Return the identity of a new run; `agent` is the address that signs, if anything is signed."""
    return SessionInfo(
        session_id=new_session_id(ts_ns),
        venue=config.venue,
        account=config.account,
        agent=agent,
        code_version=code_version(),
        config_hash=config_hash(config),
    )


def info_client(config: Config, session: aiohttp.ClientSession) -> InfoClient:
    """Return the REST client of the configured venue."""
    return InfoClient(venue_named(config.venue, sim_port=config.sim_port).base_url, session=session)


async def checked_plan(config: Config, client: InfoClient, open_coins: tuple[str, ...] = ()) -> RegistryPlan:
    """Ask the venue what is listed and return what to watch: what is configured, and `open_coins` to close them.

    Raises:
        PreflightRefused: With every reason, also when the venue could not be asked.
    """
    try:
        plan = await load_registry(
            client,
            config.dexes,
            config.account or None,
            coins=config.coins,
            open_coins=open_coins,
            channels=config.channels,
            user_channels=USER_CHANNELS,
        )
    except VenueError as error:
        is_absent = config.venue == "sim" and not isinstance(error, RateLimited)
        hint = "; start it with `hip3 venue`" if is_absent else "; try again later"
        raise PreflightRefused((f"venue {config.venue}: {error}{hint}",)) from error
    if plan.refusals:
        raise PreflightRefused(plan.refusals)
    return plan


def subscriptions(config: Config, specs: tuple[MarketSpec, ...]) -> tuple[Subscription, ...]:
    """Return what to subscribe: the gates' channels of all markets first, then the others, then the account's."""
    first = [Subscription(channel, spec.coin) for spec in specs for channel in ("bbo", "activeAssetCtx")]
    rest = [
        Subscription(channel, spec.coin, fast=channel == "l2Book")
        for channel in config.channels
        if channel not in {"bbo", "activeAssetCtx"}
        for spec in specs
    ]
    user = [Subscription(channel, user=config.account) for channel in USER_CHANNELS if config.account]
    return tuple(first + rest + user)


def new_session(plan_subscriptions: tuple[Subscription, ...]) -> Session:
    """Return the sans-IO session; its jitter differs between processes."""
    return Session(plan_subscriptions, random=Random(secrets.randbits(64)))  # noqa: S311 - jitter, no secret
