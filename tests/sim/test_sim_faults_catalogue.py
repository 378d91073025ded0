"""Every fault of the matrix that a venue can inject has a kind, a switch by file and by HTTP, and a test."""

import ast
import asyncio
import json
import re
from pathlib import Path

import pytest
from aiohttp.test_utils import make_mocked_request
from fault_venue import BTC, NVDA, TSLA, FaultVenue, scenario, with_fault_venue

from streaming.core.errors import ConfigError
from streaming.sim.scenario.fault_kinds import KINDS
from streaming.sim.scenario.fault_kinds_exchange import REJECT_CODES
from streaming.sim.scenario.faults import FaultSpec
from streaming.sim.scenario.load import load_scenario
from streaming.sim.venue.faults import board as fault_board
from streaming.sim.venue.faults.admin import Admin
from streaming.sim.venue.faults.board import FaultBoard
from streaming.sim.venue.faults.exchange import REJECT_TEXTS

HERE = Path(__file__).resolve().parent
MATRIX = HERE.parent.parent.parent / "shared" / "design" / "reliability.md"
USER = "0x" + "ab" * 20

# Row of the matrix → kinds that inject it, and the tests that switch them on and see the effect.
FV = {
    "F-01": (("close",), "test_close_ends_the_sockets_that_listen_with_its_code"),
    "F-04": (("mute",), "test_mute_of_one_market_leaves_others_and_other_channels"),
    "F-05": (("mute",), "test_mute_of_everything_still_answers_pings_and_posts"),
    "F-07": (("swap",), "test_swap_exchanges_two_frames_of_one_stream"),
    "F-08": (("duplicate",), "test_duplicate_repeats_frames_as_often_as_said"),
    "F-09": (("hold",), "test_hold_of_old_connections_delivers_late_and_in_order_while_new_ones_live"),
    "F-11": (("variant",), "test_variant_frames_are_read_as_what_they_are"),
    "F-12": (("value",), "test_value_stands_in_the_frame_and_our_decoder_refuses_it"),
    "F-13": (("snapshot_again",), "test_snapshot_again_repeats_fills_of_the_past_flagged"),
    "F-14": (("ack",), "test_ack_is_broken_and_the_retry_is_answered"),
    "F-15": (("subscription_limit",), "test_subscription_limit_refuses_the_one_beyond"),
    "F-16": (("time",), "test_time_moves_for_one_market_only"),
    "F-17": (("book",), "test_book_has_the_shape_in_info_and_feed_and_only_there"),
    "F-18": (("flood", "big_frame"), "test_flood_multiplies_the_rate_with_valid_frames"),
    "F-20": (("rename",), "test_rename_lets_bbo_and_context_disagree"),
    "F-21": (("reject",), "test_reject_refuses_each_order_with_the_documented_text"),
    "F-22": (("reject_text",), "test_reject_text_is_any_text_and_counts_are_exact"),
    "F-23": (("batch_error",), "test_batch_error_answers_all_orders_with_one_text"),
    "F-24": (("statuses",), "test_statuses_are_not_those_of_the_orders_that_were_executed"),
    "F-26": (("lost_answer",), "test_lost_answers_time_out_executed_or_not"),
    "F-28": (("garbage",), "test_garbage_is_answered_after_execution"),
    "F-30": (("partial",), "test_partial_fills_a_part_and_cancels_the_rest"),
    "F-31": (("duplicate",), "test_fill_comes_by_post_feed_and_rest_and_once_more"),
    "F-32": (("cloid",), "test_known_cloid_is_refused_or_taken_as_the_switch_says"),
    "F-33": (("nonce",), "test_nonce_is_refused_with_its_number"),
    "F-34": (("rate_limit",), "test_rate_limit_of_a_scope_answers_429_there_only"),
    "F-35": (("budget",), "test_budget_is_used_up_and_one_action_in_ten_seconds_passes"),
    "F-37": (("halt",), "test_halt_without_a_position_only_closes_the_book"),
    "F-38": (("halt",), "test_closed_market_cancels_settles_and_refuses"),
    "F-39": (("vanish", "delist"), "test_vanished_market_is_in_no_listing_and_still_trades_by_its_asset_id"),
    "F-40": (("oi_cap",), "test_oi_cap_is_told_and_refuses_what_increases_but_not_what_reduces"),
    "F-41": (("parameter",), "test_parameter_changes_in_meta_and_back"),
    "F-42": (("liquidate",), "test_liquidation_closes_a_part_with_flagged_fills"),
    "F-43": (
        ("agents_revoked", "signer_unknown"),
        "test_agent_that_is_gone_is_unknown_and_its_old_requests_come_alive_with_it",
    ),
    "F-44": (("agents_pruned",), "test_agent_that_is_gone_is_unknown_and_its_old_requests_come_alive_with_it"),
    "F-45": (("positions",), "test_positions_flap_while_the_truth_stays"),
    "F-46": (("trade", "transfer"), "test_foreign_trade_fills_with_an_order_the_client_never_sent"),
    "F-47": (("oracle",), "test_oracle_frozen_stands_while_the_book_moves"),
    "F-48": (("fee",), "test_fee_is_another_one_in_another_token"),
    "F-49": (("funding",), "test_funding_is_charged_now_and_on_record"),
    "F-50": (("outage",), "test_outage_fails_requests_and_silences_sockets_until_it_is_over"),
    "F-52": (("pull",), "test_pull_leaves_an_order_without_a_match_and_the_book_as_it_was"),
    "F-53": (("thin",), "test_thin_book_has_a_part_of_the_size_and_an_order_goes_through_levels"),
    "F-70": (("trade",), "test_foreign_trade_fills_with_an_order_the_client_never_sent"),
    "F-84": (("value",), "test_value_stands_in_the_frame_and_our_decoder_refuses_it"),
    "F-94": (("signer_unknown",), "test_mainnet_venue_refuses_a_signature_for_testnet"),
    "F-108": (("hostile_name",), "test_hostile_name_stands_in_every_listing"),
    "F-118": (("fee", "zero_fill", "funding"), "test_zero_fill_is_told"),
}


def written_tests() -> dict[str, str]:
    """Source of every test beside this one."""
    found = {}
    for path in sorted(HERE.glob("test_sim_faults_*.py")):
        source = path.read_text()
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef):
                found[node.name] = ast.get_source_segment(source, node) or ""
    return found


def test_every_row_has_kinds_that_claim_it_and_a_test() -> None:
    tests = written_tests()
    for fault_id, (kinds, test) in FV.items():
        assert test in tests, fault_id
        for kind in kinds:
            assert fault_id in KINDS[kind].fault_ids, (fault_id, kind)
    claimed = {fault_id for kind in KINDS.values() for fault_id in kind.fault_ids}
    assert claimed - {"F-06", "F-25"} == set(FV)  # those two are for proxies, and easy to do here as well


def test_every_kind_is_switched_on_by_a_test() -> None:
    sources = "\n".join(
        path.read_text() for path in HERE.glob("test_sim_faults_*.py") if path.name != Path(__file__).name
    )
    named = set(re.findall(r'"([a-z_]+)"', sources))
    assert set(KINDS) <= named


def test_our_table_is_that_of_the_matrix() -> None:
    if not MATRIX.is_file():
        pytest.skip(f"the design folder is absent: {MATRIX}")
    rows = [line.strip().strip("|").split("|") for line in MATRIX.read_text().splitlines() if line.startswith("| F-")]
    assert {row[0].strip() for row in rows if "FV" in row[-1]} == set(FV)


def test_reject_codes_have_texts() -> None:
    assert set(REJECT_TEXTS) == set(REJECT_CODES)
    assert len(set(REJECT_TEXTS.values())) == len(REJECT_CODES) >= 17


def example_of(name: str) -> dict[str, object]:
    """The kind with every selector and parameter it knows."""
    kind = KINDS[name]
    values = {"coins": [NVDA], "channels": ["bbo"], "users": [USER]}
    parameters = {parameter.name: parameter.default for parameter in kind.parameters}
    return {"kind": name, "at_s": 3_600.0, "parameters": parameters} | {key: values[key] for key in kind.selects}


@pytest.mark.parametrize("name", sorted(KINDS))
def test_kind_is_switched_on_by_file(name: str, tmp_path: Path) -> None:
    example = example_of(name)
    lines = ['name = "faulty"', 'base = "demo"', "[[faults]]"]
    lines += [f"{key} = {json.dumps(value)}" for key, value in example.items() if key != "parameters"]
    lines += ["[faults.parameters]"]
    lines += [f"{key} = {json.dumps(value)}" for key, value in example["parameters"].items()]  # type: ignore[attr-defined]
    (tmp_path / "faulty.toml").write_text("\n".join(lines) + "\n")
    [spec] = load_scenario(str(tmp_path / "faulty.toml"), seed=7).faults
    board = FaultBoard()
    fault = board.add(spec, 0)
    assert (fault.spec.kind, fault.state(0)) == (name, "waiting")
    assert fault.values == example["parameters"]


def test_every_kind_is_switched_on_and_off_over_http() -> None:
    async def test(venue: FaultVenue) -> None:
        for name in sorted(KINDS):
            status, body = await venue.admin("POST", "faults", example_of(name))
            assert status == 201, body
            assert body["state"] == "waiting"
        _, listed = await venue.admin("GET", "faults")
        assert [fault["kind"] for fault in listed["faults"]] == sorted(KINDS)
        first = listed["faults"][0]["number"]
        assert await venue.admin("DELETE", f"faults/{first}") == (200, {"cleared_count": 1})
        assert (await venue.admin("DELETE", f"faults/{first}"))[0] == 404
        assert (await venue.admin("DELETE", "faults/one"))[0] == 404
        assert await venue.admin("DELETE", "faults") == (200, {"cleared_count": len(KINDS) - 1})
        assert (await venue.admin("GET", "faults"))[1] == {"faults": []}

    with_fault_venue(test)


def test_catalogue_tells_kinds_with_defaults_and_bounds() -> None:
    async def test(venue: FaultVenue) -> None:
        _, body = await venue.admin("GET", "faults/kinds")
        told = {kind["name"]: kind for kind in body["kinds"]}
        assert set(told) == set(KINDS)
        [code] = told["close"]["parameters"]
        assert (code["name"], code["default"], code["expected"]) == ("code", 1000, "1000 to 4999")

    with_fault_venue(test)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"kind": "meteor"}, "kind: expected one of"),
        ({}, "missing required field `kind`"),
        ({"kind": "mute", "coins": ["xyz:NO"]}, "coins[0]: expected a market of the scenario, found 'xyz:NO'"),
        ({"kind": "close", "parameters": {"code": 3}}, "parameters.code: expected 1000 to 4999, found 3"),
        (
            {"kind": "transfer", "parameters": {"dex": "no"}},
            "parameters.dex: expected a dex among ['', 'xyz'], found 'no'",
        ),
        ({"kind": "mute", "for_s": 0}, "for_s: expected `float` > 0"),
        ([], "expected `object`"),
    ],
)
def test_impossible_fault_is_refused_by_its_key(body: object, expected: str) -> None:
    async def test(venue: FaultVenue) -> None:
        status, answer = await venue.admin("POST", "faults", body)
        assert status == 400
        assert expected in answer["error"]
        assert (await venue.admin("GET", "faults"))[1] == {"faults": []}

    with_fault_venue(test)


def test_admin_reads_only_json() -> None:
    async def test(venue: FaultVenue) -> None:
        url = f"{venue.base}/admin/faults"
        async with venue.http.post(url, data=b'{"kind":"mute"}', headers={"Content-Type": "text/plain"}) as response:
            assert response.status == 415
        headers = {"Content-Type": "application/json"}
        async with venue.http.post(url, data=b"{not json", headers=headers) as response:
            assert response.status == 400
        assert (await venue.admin("GET", "faults"))[1] == {"faults": []}

    with_fault_venue(test)


@pytest.mark.parametrize("remote", ["192.0.2.7", "2001:db8::1", None])
def test_admin_answers_this_machine_only(remote: str | None) -> None:
    async def test() -> None:
        board = FaultBoard()
        admin = Admin(board, scenario().universe, lambda: 0, dict)
        for route in admin.routes():
            request = make_mocked_request(route.method, route.path, headers={"Content-Type": "application/json"})
            response = await route.handler(request.clone(remote=remote) if remote else request)
            assert response.status == 403

    asyncio.run(test())


def test_state_tells_connections_and_accounts() -> None:
    async def test(venue: FaultVenue) -> None:
        async with venue.socket({"type": "bbo", "coin": BTC}, {"type": "userFills", "user": USER}):
            await venue.switch("mute", channels=["trades"])
            _, state = await venue.admin("GET", "state")
            [connection] = state["connections"]
            assert (connection["users"], connection["subscription_count"]) == ([USER], 2)
            assert state["fault_count"] == 1
            assert (state["scenario"], state["market_count"]) == ("faults", 3)

    with_fault_venue(test)


# The board


def a_fault(**fields: object) -> FaultSpec:
    return FaultSpec(**({"kind": "mute"} | fields))


def test_fault_strikes_within_its_window_only() -> None:
    board = FaultBoard()
    fault = board.add(a_fault(at_s=1.0, for_s=2.0), 10_000)
    states = {now: fault.state(now) for now in (10_000, 10_999, 11_000, 12_999, 13_000)}
    assert list(states.values()) == ["waiting", "waiting", "active", "active", "over"]
    assert board.strike("mute", 10_500) is None
    assert board.strike("mute", 11_500) is fault


def test_fault_is_spent_after_its_count() -> None:
    board = FaultBoard()
    board.add(a_fault(count=3), 0)
    assert [board.strike("mute", now) is not None for now in range(5)] == [True, True, True, False, False]
    assert [fault.state(9) for fault in board.faults()] == ["spent"]


@pytest.mark.parametrize(
    ("spec", "coin", "channels", "users", "expected"),
    [
        ({}, NVDA, ("bbo",), (), True),
        ({"coins": (NVDA,)}, NVDA, ("bbo",), (), True),
        ({"coins": (NVDA,)}, TSLA, ("bbo",), (), False),
        ({"coins": (NVDA,)}, "", ("bbo",), (), False),
        ({"channels": ("user",)}, "", ("user", "userEvents"), (), True),
        ({"channels": ("bbo",)}, NVDA, ("trades",), (), False),
        ({"users": (USER,)}, NVDA, ("bbo",), (USER,), True),
        ({"users": (USER,)}, NVDA, ("bbo",), (), False),
    ],
)
def test_fault_concerns_what_it_is_narrowed_to(
    spec: dict[str, tuple[str, ...]], coin: str, channels: tuple[str, ...], users: tuple[str, ...], *, expected: bool
) -> None:
    board = FaultBoard()
    board.add(a_fault(**spec), 0)
    assert (board.active("mute", 0, coin=coin, channels=channels, users=users) is not None) is expected


def test_events_are_due_once_or_as_often_as_said() -> None:
    board = FaultBoard()
    board.add(a_fault(kind="close"), 0)
    board.add(a_fault(kind="funding", count=2, at_s=0.05), 0)
    board.add(a_fault(kind="mute"), 0)
    due = [[fault.spec.kind for fault in board.due(now)] for now in (0, 68, 136, 204)]
    assert due == [["close"], ["funding"], ["funding"], []]


def test_board_holds_so_many_faults_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fault_board, "FAULT_COUNT_MAX", 2)
    board = FaultBoard()
    board.add(a_fault(), 0)
    board.add(a_fault(), 0)
    with pytest.raises(ConfigError, match="at most 2 faults"):
        board.add(a_fault(), 0)
    assert board.clear() == 2
    board.add(a_fault(), 0)


def test_venue_without_faults_asks_nothing_of_its_frames() -> None:
    async def test(venue: FaultVenue) -> None:
        assert not venue.faults.is_feed_faulty
        await venue.switch("halt", coins=[NVDA])
        assert not venue.faults.is_feed_faulty
        await venue.switch("mute", count=1)
        assert venue.faults.is_feed_faulty
        await venue.clear()
        assert not venue.faults.is_feed_faulty

    with_fault_venue(test)


def test_page_of_faults_has_every_kind() -> None:
    page = (HERE.parent.parent / "docs" / "faults.md").read_text()
    assert all(f"| `{name}` |" in page for name in KINDS)
    assert all(fault_id in page for fault_id in FV)
