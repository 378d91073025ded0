"""What doctor and preflight say about account and plan: each judgement, and all of them against a simulated venue."""

import asyncio
import json
import resource
import socket
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from children import hip3
from core_builders import a_spec
from info_server import InfoServer
from ports import free_ports
from venue_bench import GENERATOR

from streaming.core.registry import DexMeta, ListedMarket
from streaming.hyperliquid.account import AddressBudget, AgentInfo, AssetLeverage, SpotBalance, UserRole
from streaming.hyperliquid.info import AssetCtx
from streaming.shell.config import account_checks as checks
from streaming.shell.config.doctor import Finding, agent_key, findings
from streaming.shell.config.preflight import preflight, preflight_text
from streaming.shell.config.schema import Config
from streaming.shell.keys.agent_key import KeyKind, make_key
from streaming.shell.keys.seen import SeenAgents
from streaming.shell.process import assemble
from streaming.sim.venue.server import VenueServer, system_now_ms
from streaming.sim.venue.venue import Venue

D = Decimal
ANN, AGENT, OTHER = "0x" + "aa" * 20, "0x" + "bb" * 20, "0x" + "cc" * 20
NOW_MS = 1_790_000_000_000
DAY_MS = 86_400_000


# --- judgements


@pytest.mark.parametrize(
    ("offset_ms", "level"),
    [(-200, "ok"), (1_999, "ok"), (-2_000, "warn"), (4_999, "warn"), (5_000, "fail"), (-9_000, "fail")],
)
def test_venue_clock_warns_at_2_s_and_fails_where_entries_close(offset_ms: int, level: str) -> None:
    finding = checks.venue_clock(offset_ms, fail_ms=5_000)
    assert (finding.level, f"{offset_ms:+} ms" in finding.detail) == (level, True)


@pytest.mark.parametrize(
    ("role", "said"),
    [
        (UserRole(role="agent", master=OTHER), f"the agent of {OTHER}"),
        (UserRole(role="subAccount", master=OTHER), f"a sub-account of {OTHER}"),
        (UserRole(role="vault"), "vaults can not trade HIP-3"),
        (UserRole(role="missing"), "testnet has never seen"),
        (UserRole(role="x\x1b[2J"), "'x\\x1b[2J'"),
    ],
)
def test_account_role_other_than_a_masters_fails_saying_which_address_to_use(role: UserRole, said: str) -> None:
    finding = checks.account_role(ANN, role, venue="testnet")
    assert finding.level == "fail"
    assert said in finding.detail
    assert finding.detail.isprintable()


def test_account_role_of_a_master_is_fine() -> None:
    assert checks.account_role(ANN, UserRole(role="user"), venue="sim").level == "ok"


@pytest.mark.parametrize(
    ("agent", "role", "agents", "level", "said"),
    [
        (ANN, UserRole(role="user"), (), "fail", "the master's own"),
        (AGENT, UserRole(role="missing"), (), "fail", "role 'missing'"),
        (AGENT, UserRole(role="agent", master=OTHER), (), "fail", f"the agent of {OTHER}"),
        (AGENT, UserRole(role="agent", master=ANN), (), "ok", "unnamed"),
        (
            AGENT,
            UserRole(role="agent", master=ANN),
            (AgentInfo(name="b", address=AGENT, valid_until_ms=None),),
            "ok",
            "'b'",
        ),
        (
            AGENT,
            UserRole(role="agent", master=ANN),
            (AgentInfo(name="b", address=AGENT, valid_until_ms=NOW_MS + 14 * DAY_MS),),
            "ok",
            "14 more days",
        ),
        (
            AGENT,
            UserRole(role="agent", master=ANN),
            (AgentInfo(name="b", address=AGENT, valid_until_ms=NOW_MS + 14 * DAY_MS - 1),),
            "warn",
            "13 more days",
        ),
    ],
)
def test_agent_must_be_approved_by_this_account_and_for_long_enough(
    agent: str, role: UserRole, agents: tuple[AgentInfo, ...], level: str, said: str
) -> None:
    finding = checks.agent_approval(ANN, agent, role, agents, now_ms=NOW_MS)
    assert finding.level == level
    assert said in finding.detail


@pytest.mark.parametrize(
    ("mode", "level", "said"),
    [
        ("disabled", "ok", "standard"),
        ("default", "ok", "standard"),
        ("unifiedAccount", "warn", "50000 actions lasts 1.4 h"),
        ("portfolioMargin", "warn", "50000 actions lasts 1.4 h"),
        ("dexAbstraction", "warn", "by itself"),
        ("new\nmode", "warn", "'new\\nmode'"),
    ],
)
def test_account_mode_other_than_standard_is_told_with_what_it_means(mode: str, level: str, said: str) -> None:
    finding = checks.account_mode(mode, action_rate_per_s=10)
    assert (finding.level, said in finding.detail) == (level, True)


@pytest.mark.parametrize(
    ("is_isolated", "value", "margin_mode", "level"),
    [
        (True, 10, "strictIsolated", "ok"),
        (False, 10, "cross", "ok"),
        (False, 10, "noCross", "warn"),
        (True, 11, "cross", "warn"),
    ],
)
def test_leverage_is_judged_by_what_the_market_allows(
    is_isolated: bool, value: int, margin_mode: str, level: str
) -> None:
    spec = a_spec("xyz:NVDA", margin_mode=margin_mode)
    data = AssetLeverage(coin=spec.coin, leverage=value, is_isolated=is_isolated, buy_usd_max=D(1), sell_usd_max=D(1))
    finding = checks.leverage((spec,), {spec.coin: data}, unasked_count=0)
    assert finding.level == level
    assert f"xyz:NVDA {'isolated' if is_isolated else 'cross'} {value}x of 10" in finding.detail


@pytest.mark.parametrize(
    ("free", "leverage", "level", "said"),
    [
        ("0", 1, "fail", "at least 10.00"),
        ("9.99", 1, "fail", "found 9.99"),
        ("0.99", 10, "fail", "at least 1.00"),
        ("10", 1, "warn", "needs 500.00 at 1x"),
        ("49.99", 10, "warn", "needs 50.00 at 10x"),
        ("500", 1, "ok", "500.00 USDC free"),
    ],
)
def test_collateral_is_judged_by_the_least_order_and_by_the_caps(
    free: str, leverage: int, level: str, said: str
) -> None:
    finding = checks.collateral("collateral xyz", D(free), 0, "dex xyz", config=Config(), leverage=leverage)
    assert (finding.level, said in finding.detail) == (level, True), finding


def test_spot_free_counts_one_token_without_what_is_on_hold() -> None:
    balances = (
        SpotBalance(coin="USDC", token=0, total=D("14.5"), hold=D("2.5")),
        SpotBalance(coin="USDH", token=360, total=D(100), hold=D(0)),
    )
    assert checks.spot_free(balances, 0) == D(12)
    assert checks.spot_free(balances, 5) == D(0)


def a_budget(left_count: int, cum_vlm_usd: str = "0") -> AddressBudget:
    return AddressBudget(used_count=100, cap_count=100 + left_count, surplus_count=0, cum_vlm_usd=D(cum_vlm_usd))


@pytest.mark.parametrize(
    ("left_count", "level", "hours"),
    [(500, "fail", "0.0 h"), (501, "warn", "0.0 h"), (36_500, "ok", "1.0 h"), (0, "fail", "0.0 h")],
)
def test_address_budget_is_told_in_hours_without_the_reserve_of_exits(left_count: int, level: str, hours: str) -> None:
    finding = checks.address_budget(a_budget(left_count), rate_per_s=10, reserve_count=500)
    assert (finding.level, hours in finding.detail) == (level, True)


@pytest.mark.parametrize(("traded", "level"), [("999999.99", "warn"), ("1000000", "ok")])
def test_schedule_cancel_needs_a_million_of_volume(traded: str, level: str) -> None:
    assert checks.schedule_cancel(a_budget(1, traded)).level == level


def test_asset_ids_that_lead_elsewhere_fail() -> None:
    # The predecessor traded RIVN for SILVER.
    right, moved, gone = (
        a_spec(coin, asset_id=110_000 + index) for index, coin in enumerate(("xyz:A", "xyz:B", "xyz:C"))
    )
    meta = DexMeta(universe=(ListedMarket(name="xyz:A"), ListedMarket(name="xyz:Z")))
    wrong = list(checks.misplaced([right, moved, gone], meta))
    assert wrong == ["xyz:B 110001 leads to 'xyz:Z'", "xyz:C 110002 leads to 'nothing'"]
    assert checks.asset_ids((right, moved), wrong).level == "fail"
    assert checks.asset_ids((right,), []).detail == "xyz:A 110000"


def a_ctx(coin: str, mark_px: str) -> AssetCtx:
    return AssetCtx(
        coin=coin,
        oracle_px=D(mark_px),
        mark_px=D(mark_px),
        mid_px=None,
        open_interest_sz=D(0),
        day_ntl_vlm_usd=None,
    )


def test_market_whose_least_order_in_lots_exceeds_our_largest_is_named() -> None:
    specs = [a_spec("xyz:WHOLE", sz_decimals=0), a_spec("xyz:FINE", sz_decimals=3), a_spec("xyz:NOPX", sz_decimals=0)]
    ctxs = (a_ctx("xyz:WHOLE", "50.01"), a_ctx("xyz:FINE", "4000"))
    too_small = list(checks.unaffordable(specs, ctxs, D(50)))
    assert too_small == ["xyz:WHOLE 50.01"]
    assert checks.minimum_order(D(10), too_small).level == "warn"
    assert checks.minimum_order(D(10), []).level == "ok"
    assert checks.minimum_order(D("9.99"), []).level == "fail"


def test_least_order_is_a_whole_number_of_lots() -> None:
    spec = a_spec("xyz:A", sz_decimals=0)
    assert list(checks.unaffordable([spec], (a_ctx("xyz:A", "6"),), D("11.99"))) == ["xyz:A 12.00"]
    assert list(checks.unaffordable([spec], (a_ctx("xyz:A", "6"),), D(12))) == []


@pytest.mark.parametrize(("count", "level"), [(800, "ok"), (801, "warn")])
def test_rate_limits_warn_without_headroom(count: int, level: str) -> None:
    assert checks.rate_limits(count, D("0.1")).level == level


# --- against a venue

Ask = Callable[[Venue, int], Awaitable[None]]


def with_venue(use: Ask) -> None:
    async def main() -> None:
        server = VenueServer(GENERATOR)
        async with server.serving(0) as port, asyncio.timeout(30):
            await use(server.venue, port)

    asyncio.run(main())


def by_name(found: list[Finding]) -> dict[str, Finding]:
    assert len({finding.name for finding in found}) == len(found), "a name says one thing"
    return {finding.name: finding for finding in found}


def test_findings_of_an_account_that_may_trade_have_no_failure() -> None:
    async def use(venue: Venue, port: int) -> None:
        venue.exchange.accounts.look(ANN)
        assert venue.exchange.authority.approve_agent(ANN, AGENT, "bot", system_now_ms()) is None
        found = by_name(await checks.venue_findings(Config(sim_port=port, account=ANN), AGENT))
        assert [finding for finding in found.values() if finding.level == "fail"] == []
        assert set(found) == {
            "venue clock",
            "asset ids",
            "minimum order",
            "account",
            "agent",
            "account mode",
            "leverage",
            "collateral xyz",
            "address budget",
            "scheduled cancel",
            "rate limits",
        }
        assert "for 89 more days" in found["agent"].detail
        assert "xyz:NVDA 110002" in found["asset ids"].detail
        assert "10000.00 USDC free on dex xyz" in found["collateral xyz"].detail
        assert "xyz:NVDA cross 20x of 20" in found["leverage"].detail
        assert found["scheduled cancel"].level == "warn"

    with_venue(use)


def test_findings_with_an_agents_address_as_account_name_the_master_and_ask_no_further() -> None:
    # nautilus #3667, freqtrade #11559: an agent's address reads as an account without money
    async def use(venue: Venue, port: int) -> None:
        venue.exchange.accounts.look(ANN)
        assert venue.exchange.authority.approve_agent(ANN, AGENT, "bot", system_now_ms()) is None
        found = by_name(await checks.venue_findings(Config(sim_port=port, account=AGENT), None))
        assert found["account"].level == "fail"
        assert ANN in found["account"].detail
        assert not {"collateral xyz", "account mode", "agent"} & set(found)

    with_venue(use)


def test_findings_of_a_unified_account_read_the_balance_where_it_is() -> None:
    # hummingbot #8165: a unified account reads as an account without money
    async def use(venue: Venue, port: int) -> None:
        account = venue.exchange.accounts.look(ANN)
        account.abstraction, account.spot_usd = "unifiedAccount", D(700)
        account.houses["xyz"].raw_usd = D(0)
        found = by_name(await checks.venue_findings(Config(sim_port=port, account=ANN), None))
        assert found["account mode"].level == "warn"
        assert found["collateral xyz"].level == "ok"
        assert "700.00 USDC free on the spot balance" in found["collateral xyz"].detail

    with_venue(use)


def test_findings_with_the_money_on_another_dex_say_so() -> None:
    async def use(venue: Venue, port: int) -> None:
        venue.exchange.accounts.look(ANN).houses["xyz"].raw_usd = D(0)
        found = by_name(await checks.venue_findings(Config(sim_port=port, account=ANN), None))
        assert found["collateral xyz"].level == "fail"
        assert "found 0.00 free on dex xyz" in found["collateral xyz"].detail

    with_venue(use)


def test_findings_without_account_observe_and_a_key_without_account_fails() -> None:
    async def use(_: Venue, port: int) -> None:
        found = by_name(await checks.venue_findings(Config(sim_port=port), None))
        assert (found["account"].level, "observing" in found["account"].detail) == ("ok", True)
        assert set(found) == {"venue clock", "asset ids", "minimum order", "account", "rate limits"}
        assert by_name(await checks.venue_findings(Config(sim_port=port), AGENT))["account"].level == "fail"

    with_venue(use)


def test_findings_of_a_plan_that_is_refused_are_its_reasons() -> None:
    async def use(_: Venue, port: int) -> None:
        (finding,) = await checks.venue_findings(Config(sim_port=port, coins=("xyz:NONE",)), None)
        assert (finding.name, finding.level) == ("plan", "fail")
        assert "xyz:NONE" in finding.detail

    with_venue(use)


def test_findings_of_a_venue_that_does_not_answer_are_one_warning() -> None:
    (finding,) = asyncio.run(checks.venue_findings(Config(sim_port=free_ports(1)[0], account=ANN), None))
    assert (finding.name, finding.level) == ("venue", "warn")


def test_findings_without_an_answer_fail_under_their_own_name_and_the_others_go_on() -> None:
    async def main() -> None:
        server = InfoServer()
        server.bodies |= {
            "clearinghouseState": {
                "marginSummary": {"accountValue": "600.0"},
                "withdrawable": "600.0",
                "assetPositions": [],
                "time": 5,
            },
            "userRole": {"role": "user"},
            "userAbstraction": "disabled",
            "userRateLimit": {"cumVlm": "1.0", "nRequestsUsed": "many", "nRequestsCap": 10_001},
        }
        async with server.running() as session:
            await judged(server, session)

    async def judged(server: InfoServer, session: aiohttp.ClientSession) -> None:
        client = checks.InfoClient(server.base_url, session=session)
        config = Config(account=ANN, coins=("xyz:BETA",))
        plan = await assemble.checked_plan(config, client)
        found = by_name(await checks.account_findings(config, client, None, specs=plan.specs))
        assert found["address budget"].level == "fail"
        assert "expected an answer" in found["address budget"].detail
        assert found["collateral xyz"].level == "ok"
        assert found["venue clock"].level == "fail"  # the fixture's time is that of its recording
        assert any(text.startswith("address budget: ") for text in checks.refusals_of(list(found.values())))

    asyncio.run(main())


def test_findings_say_to_wait_where_the_venue_says_it_was_asked_too_much() -> None:
    async def too_many(_: web.Request) -> web.StreamResponse:
        return web.Response(status=429, text="null")

    async def main() -> None:
        server = InfoServer()
        server.answers["exchangeStatus"] = too_many
        async with server.running() as session:
            client = checks.InfoClient(server.base_url, session=session)
            found = by_name(await checks.account_findings(Config(), client, None, specs=()))
        assert found["venue clock"].level == "fail"
        assert "requests a minute used up" in found["venue clock"].detail
        assert found["venue clock"].detail.endswith("ask again in a minute")

    asyncio.run(main())


# --- this machine


def local(config: Config) -> dict[str, Finding]:
    return by_name(findings(config))


@pytest.mark.parametrize(
    ("soft", "level"), [(255, "fail"), (256, "warn"), (1_023, "warn"), (1_024, "ok"), (resource.RLIM_INFINITY, "ok")]
)
def test_open_files_too_few_of_them_fail(monkeypatch: pytest.MonkeyPatch, soft: int, level: str) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (soft, 4_096))
    assert local(Config())["open files"].level == level


def test_listening_sockets_beyond_loopback_fail(tmp_path: Path) -> None:
    # F-109
    with socket.create_server(("0.0.0.0", 0)) as open_to_all:  # noqa: S104 - what is to be found
        port = open_to_all.getsockname()[1]
        found = local(Config(warehouse=str(tmp_path), control_port=port))["listening sockets"]
    assert (found.level, f"0.0.0.0:{port}" in found.detail) == ("fail", True)


# --- the key, and what preflight makes of it


def a_key(folder: Path, kind: KeyKind = KeyKind.RAW) -> tuple[str, str]:
    """Make a key; returns file and address."""
    password = folder / "password"
    password.touch(mode=0o600)
    password.write_text("correct horse battery staple\n")
    path = folder / f"{kind}.key"
    made = make_key(path, kind, password, now_ts_ms=system_now_ms() - 3 * DAY_MS)
    return str(path), made.address


def test_agent_key_is_told_by_address_and_age_without_its_password(tmp_path: Path) -> None:
    path, address = a_key(tmp_path)
    found_address, (finding,) = agent_key(Config(account=ANN, agent_key_file=path))
    assert (found_address, finding.level) == (address, "ok")
    assert f"{address}, made 3 days ago" in finding.detail
    assert Path(path).read_text().strip() not in finding.detail


def test_agent_key_that_others_can_read_fails_and_signs_nothing(tmp_path: Path) -> None:
    # I-34
    path, _ = a_key(tmp_path)
    Path(path).chmod(0o644)
    address, (finding,) = agent_key(Config(account=ANN, agent_key_file=path))
    assert (address, finding.level) == (None, "fail")
    assert agent_key(Config()) == (None, [])


def test_agent_key_retired_fails(tmp_path: Path) -> None:
    path, address = a_key(tmp_path)
    SeenAgents(Path(path)).retire(address, system_now_ms())
    found_address, (finding,) = agent_key(Config(account=ANN, agent_key_file=path))
    assert (found_address, finding.level) == (None, "fail")
    assert "retired" in finding.detail


def test_preflight_refuses_a_key_that_its_account_did_not_approve_and_starts_with_one_it_did(tmp_path: Path) -> None:
    path, address = a_key(tmp_path)

    async def use(venue: Venue, port: int) -> None:
        venue.exchange.accounts.look(ANN)
        config = Config(sim_port=port, account=ANN, agent_key_file=path, warehouse=str(tmp_path), control_port=0)
        verdict = await preflight(config)
        assert [text.partition(":")[0] for text in verdict.refusals] == ["agent"]
        assert f"approved by {ANN}" in verdict.refusals[0]
        assert venue.exchange.authority.approve_agent(ANN, address, "bot", system_now_ms()) is None
        assert (await preflight(config)).refusals == ()

    with_venue(use)


def test_preflight_without_a_key_starts_and_warns_of_what_failed(tmp_path: Path) -> None:
    async def use(venue: Venue, port: int) -> None:
        venue.exchange.accounts.look(ANN)
        assert venue.exchange.authority.approve_agent(ANN, AGENT, "bot", system_now_ms()) is None
        config = Config(sim_port=port, account=AGENT, warehouse=str(tmp_path), control_port=0)
        verdict = await preflight(config)
        assert verdict.refusals == ()
        assert any(text.startswith("account: ") for text in verdict.warnings)
        assert "FAIL  account" in preflight_text([], "c0", verdict)

    with_venue(use)


def test_commands_exit_by_what_the_account_is(tmp_path: Path) -> None:
    async def use(venue: Venue, port: int) -> None:
        venue.exchange.accounts.look(ANN)
        assert venue.exchange.authority.approve_agent(ANN, AGENT, "bot", system_now_ms()) is None
        place = ("--sim-port", str(port), "--warehouse", str(tmp_path), "--control-port", "0", "--json")
        for account, doctor_code in ((ANN, 0), (AGENT, 1)):
            done = await asyncio.to_thread(hip3, "doctor", *place, "--account", account)
            assert done.returncode == doctor_code, done.stderr
            assert {"account", "venue clock", "disk"} <= {row["name"] for row in json.loads(done.stdout)}
        keyed = ("--set", f"agent_key_file={a_key(tmp_path)[0]}", "--account", ANN)
        done = await asyncio.to_thread(hip3, "preflight", *place, *keyed)
        verdict = json.loads(done.stdout)
        assert (done.returncode, verdict["may_start"]) == (3, False), done.stderr
        assert [row["name"] for row in verdict["findings"] if row["level"] == "fail"] == ["agent"]

    with_venue(use)
