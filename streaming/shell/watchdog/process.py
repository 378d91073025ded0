"""The watchdog's process: what has to be in order before it may act, the loop, the end.

Why this module exists: a watchdog that can not act is worse than none, because somebody relies on it. So key, lease,
account and approval are judged at the start, not when the sidecar has died.

Rule 1: one watchdog a venue and account (exit 5), with an agent of its own: the sidecar's key may be what is broken,
and two processes on one key would use each other's nonces.
Rule 2: a venue that does not answer at the start is no reason to end: it is asked again when it matters.
Rule 3: SIGTERM and SIGINT end it at once; nothing of it has to be undone.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path

import aiohttp
import msgspec

from streaming.core.errors import ConfigError, PreflightRefused, VenueError
from streaming.core.units import NS_PER_MS
from streaming.hyperliquid.signing import Signer
from streaming.shell.clock import Clock, SystemClock
from streaming.shell.config.schema import Config
from streaming.shell.execution.exchange_client import ExchangeClient
from streaming.shell.execution.heartbeat import boot_id, read_heartbeat
from streaming.shell.execution.nonce_mark import NonceMark
from streaming.shell.info.rest import InfoClient
from streaming.shell.info.venues import venue_named
from streaming.shell.keys.agent_key import key_facts, load_agent_key
from streaming.shell.process.fault_note import FaultNote
from streaming.shell.process.lock import InstanceLock, LeaseKind, holder_of, tag_of
from streaming.shell.watchdog.flatten import Flattener, read_exposure
from streaming.shell.watchdog.guard import Guard, Line
from streaming.shell.watchdog.watch import LOOK_MS, STALE_S_MIN, Verdict, Watch

PROGRAM = "watchdog"
EXIT_OK, EXIT_NO = 0, 1


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line says beside the configuration."""

    key_file: Path
    password_file: Path | None
    stale_s: int
    slippage_bps_max: Decimal


def checked_signer(config: Config, options: Options) -> Signer:
    """Return what signs, if everything that can be judged without the venue is in order.

    Raises:
        ConfigError: For anything that is not.
    """
    if not config.account:
        raise ConfigError("account: expected the master address to watch over, found none; set it, or pass --account")
    if options.stale_s < STALE_S_MIN:
        raise ConfigError(f"--stale-s: expected at least {STALE_S_MIN}, found {options.stale_s}")
    if not 0 < options.slippage_bps_max <= 1_000:
        raise ConfigError(f"--slippage-bps-max: expected above 0 and at most 1000, found {options.slippage_bps_max}")
    key = load_agent_key(options.key_file, options.password_file)
    sidecars = config.agent_key_file
    if sidecars and key_facts(Path(sidecars).expanduser()).address == key.address:
        raise ConfigError(
            f"--key-file: expected an agent of the watchdog's own, found the sidecar's {key.address}; make another "
            "with `hip3 keys new` and have the master approve it under another name"
        )
    return key.signer(is_mainnet=config.venue == "mainnet")


async def watch_over(config: Config, options: Options, say: Callable[[Line], None]) -> int:
    """Watch until a signal; returns the exit code.

    Raises:
        AlreadyRunning: Another watchdog does.
        ConfigError: See `checked_signer`, and for a key of the sidecar's.
        PreflightRefused: The key is no agent of the account.
        StoreError: The warehouse can not be written.
    """
    signer = checked_signer(config, options)
    ended = _signals()
    clock = SystemClock()
    lease = InstanceLock(config.root, config.venue, config.account, LeaseKind.WATCHDOG)
    with lease, NonceMark(config.root, signer.address, program=PROGRAM, clock=clock) as mark:
        note = FaultNote(config.root, lease.tag)
        async with _guard(config, options, signer, mark, note=note, clock=clock, say=say) as guard:
            while not ended.is_set():
                await guard.step()
                await _pause(ended)
            say(Line(event="ended", ts_ns=clock.ts_ns(), heartbeat=guard.verdict or Verdict.ABSENT))
    return EXIT_OK


async def look_once(config: Config, options: Options, say: Callable[[Line], None]) -> int:
    """Check key, approval, heartbeat and account without sending anything.

    Returns 1 if the sidecar is not there, or if a dex did not answer: what is open there is not known.

    Raises:
        ConfigError: See `checked_signer`.
        PreflightRefused: The key is no agent of the account.
        StoreError: The heartbeat can not be read.
        VenueError: The venue does not answer.
    """
    signer = checked_signer(config, options)
    clock = SystemClock()
    tag = tag_of(config.venue, config.account)
    watch = Watch(stale_s=options.stale_s, boot_id=boot_id())
    beat = read_heartbeat(config.root, tag)
    now_mono_ns = clock.mono_ns()
    verdict = watch.look(beat, now_mono_ns)
    async with aiohttp.ClientSession() as http:
        info = InfoClient(_base_url(config), session=http, clock=clock)
        await _refuse_unapproved(info, signer, config)
        coins = () if beat is None else beat.exit_only_coins
        exposure = await read_exposure(info, config.account, config.dexes, coins)
    age_ns = None if beat is None else watch.age_ns(beat, now_mono_ns)
    running = holder_of(config.root, config.venue, config.account, LeaseKind.WATCHDOG)
    say(
        Line(
            event="looked",
            ts_ns=clock.ts_ns(),
            heartbeat=verdict,
            age_ms=None if age_ns is None else age_ns // NS_PER_MS,
            positions=exposure.texts,
            open_order_count=len(exposure.orders),
            detail="; ".join(
                (
                    f"agent {signer.address}",
                    f"watchdog pid {running}" if running else "no watchdog runs",
                    *exposure.failures,
                )
            ),
        )
    )
    return EXIT_OK if verdict is Verdict.FRESH and not exposure.failures else EXIT_NO


@asynccontextmanager
async def _guard(
    config: Config,
    options: Options,
    signer: Signer,
    mark: NonceMark,
    *,
    note: FaultNote,
    clock: Clock,
    say: Callable[[Line], None],
) -> AsyncIterator[Guard]:
    async with aiohttp.ClientSession() as http:
        info = InfoClient(_base_url(config), session=http, clock=clock)
        exchange = ExchangeClient(_base_url(config), session=http, clock=clock, weights=info.weights)
        try:
            await _refuse_unapproved(info, signer, config)
        except VenueError as error:
            say(Line(event="venue_failed", ts_ns=clock.ts_ns(), heartbeat=Verdict.ABSENT, detail=str(error)[:500]))
        flattener = Flattener(
            info=info,
            exchange=exchange,
            signer=signer,
            mark=mark,
            account=config.account,
            dexes=config.dexes,
            clock=clock,
            slippage_bps_max=options.slippage_bps_max,
        )
        yield Guard(
            watch=Watch(stale_s=options.stale_s, boot_id=boot_id()),
            read_beat=partial(read_heartbeat, config.root, tag_of(config.venue, config.account)),
            flattener=flattener,
            note=note,
            clock=clock,
            say=say,
        )


async def _refuse_unapproved(info: InfoClient, signer: Signer, config: Config) -> None:
    role = await info.user_role(signer.address, is_essential=True)
    if role.role != "agent" or role.master != config.account.lower():
        found = f"{role.role} of {role.master}" if role.master else role.role
        reason = (
            f"expected {signer.address} to be an agent of {config.account}, found {found[:100]}; have the master "
            "approve it (`hip3 keys new` prints how), or pass another --key-file"
        )
        raise PreflightRefused((reason,))


def _base_url(config: Config) -> str:
    return venue_named(config.venue, sim_port=config.sim_port).base_url


def _signals() -> asyncio.Event:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    return ended


async def _pause(ended: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(LOOK_MS / 1000):
            await ended.wait()
    except TimeoutError:
        pass  # time for the next look
