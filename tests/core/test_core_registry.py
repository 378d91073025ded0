from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.core.registry import (
    DexMeta,
    ListedDex,
    ListedMarket,
    Listings,
    RegistryPlan,
    Watchlist,
    plan_registry,
    spec_version_of,
    watched_dexes,
)


def a_market(name: str = "xyz:ALPHA", **changes: object) -> ListedMarket:
    market = ListedMarket(
        name=name, sz_decimals=3, leverage_max=20, is_growth_mode=True, deployer_fee_scale=Decimal("1.0")
    )
    return msgspec.structs.replace(market, **changes)


def some_listings(*markets: ListedMarket, **changes: object) -> Listings:
    listings = Listings(
        dexes=(None, ListedDex(name="xyz"), ListedDex(name="abc", deployer_fee_scale=Decimal("0.5"))),
        metas={"xyz": DexMeta(universe=markets or (a_market(),), collateral_token=0)},
    )
    return msgspec.structs.replace(listings, **changes)


def a_watchlist(**changes: object) -> Watchlist:
    watchlist = Watchlist(dexes=("xyz",), channel_count=2, subscription_count_max=1_000, user_count_max=10)
    return msgspec.structs.replace(watchlist, **changes)


def plan(*markets: ListedMarket, **watched: object) -> RegistryPlan:
    return plan_registry(some_listings(*markets), a_watchlist(**watched))


def only_refusal(found: RegistryPlan) -> str:
    assert len(found.refusals) == 1, found.refusals
    return found.refusals[0]


def test_plan_asset_id_counts_null_dexes_and_delisted_markets() -> None:
    metas = {
        "xyz": DexMeta(
            universe=(a_market("xyz:GONE", is_delisted=True), a_market(), a_market("xyz:BETA")), collateral_token=0
        ),
        "abc": DexMeta(universe=(a_market("abc:ALPHA"),), collateral_token=360),
    }

    found = plan_registry(some_listings(metas=metas), a_watchlist(dexes=("xyz", "abc")))

    assert found.refusals == ()
    assert {spec.coin: spec.asset_id for spec in found.specs} == {
        "xyz:ALPHA": 110_001,
        "xyz:BETA": 110_002,
        "abc:ALPHA": 120_000,
    }
    assert [spec.coin for spec in found.delisted] == ["xyz:GONE"]
    assert [spec.collateral_token for spec in found.specs] == [0, 0, 360]


@pytest.mark.parametrize(
    ("scale", "is_growth_mode", "fee_bps"),
    [("1.0", True, "0.9"), ("1.0", False, "9"), ("0.5", False, "6.75"), ("0", True, "0.45")],
)
def test_plan_without_account_uses_the_base_tier(scale: str, is_growth_mode: bool, fee_bps: str) -> None:
    found = plan(a_market(deployer_fee_scale=Decimal(scale), is_growth_mode=is_growth_mode))

    assert found.specs[0].taker_fee_bps == Decimal(fee_bps)
    assert found.warnings == ()


def test_plan_uses_the_accounts_rate_and_discount() -> None:
    listings = some_listings(user_cross_rate=Decimal("0.00045"), referral_discount=Decimal("0.04"))

    assert plan_registry(listings, a_watchlist()).specs[0].taker_fee_bps == Decimal("0.864")


@pytest.mark.parametrize(("dex", "scale", "source"), [("abc", "0.5", "perpDexs"), ("xyz", "1", "the default")])
def test_plan_scale_missing_in_universe_falls_back_with_a_warning(dex: str, scale: str, source: str) -> None:
    market = a_market(f"{dex}:ALPHA", deployer_fee_scale=None)
    listings = some_listings(metas={dex: DexMeta(universe=(market,), collateral_token=0)})

    found = plan_registry(listings, a_watchlist(dexes=(dex,)))

    assert found.specs[0].deployer_fee_scale == Decimal(scale)
    assert len(found.warnings) == 1
    assert source in found.warnings[0]


@pytest.mark.parametrize(
    ("dex", "words"),
    [
        ("", "empty"),
        ("XYZ", "did you mean 'xyz'"),
        ("xy", "no dex 'xy'"),
        ("nope", "listed: 'xyz', 'abc'"),
        ("\x1b[31m", "\\x1b[31m"),
    ],
)
def test_plan_dex_is_found_by_exact_name_only(dex: str, words: str) -> None:
    found = plan(dexes=(dex,))

    assert words in only_refusal(found)
    assert found.specs == ()


TWO = (a_market(), a_market("xyz:BETA"))


def test_plan_f92_market_with_something_open_is_watched_and_marked() -> None:
    found = plan(*TWO, coins=("xyz:BETA",), open_coins=("xyz:ALPHA", "xyz:BETA"))

    assert [spec.coin for spec in found.specs] == ["xyz:ALPHA", "xyz:BETA"]
    assert found.exit_only == ("xyz:ALPHA",)
    assert found.refusals == ()
    assert ["xyz:ALPHA" in note for note in found.warnings] == [True]


def test_plan_f92_dex_with_something_open_is_asked_and_only_that_market_watched() -> None:
    metas = {
        "xyz": DexMeta(universe=TWO, collateral_token=0),
        "abc": DexMeta(universe=(a_market("abc:ONE"), a_market("abc:TWO")), collateral_token=0),
    }
    watchlist = a_watchlist(open_coins=("abc:TWO",))

    found = plan_registry(some_listings(metas=metas), watchlist)

    assert watched_dexes(watchlist) == ("xyz", "abc")
    assert [(spec.coin, spec.asset_id) for spec in found.specs] == [
        ("xyz:ALPHA", 110_000), ("xyz:BETA", 110_001), ("abc:TWO", 120_001),
    ]  # fmt: skip
    assert found.exit_only == ("abc:TWO",)


@pytest.mark.parametrize("coin", ["xyz:GONE", "xyz:NEVER", "abc:LOST", "xyz:ODD"])
def test_plan_f39_market_with_something_open_that_can_not_be_watched_keeps_no_other_from_it(coin: str) -> None:
    odd, gone = a_market("xyz:ODD", leverage_max=0), a_market("xyz:GONE", is_delisted=True)

    found = plan(*TWO, odd, gone, coins=("xyz:BETA",), open_coins=(coin,))

    assert [spec.coin for spec in found.specs] == ["xyz:BETA"]
    assert (found.exit_only, found.refusals) == ((), ())
    assert any(coin in note and "can not be watched" in note for note in found.warnings)


def test_plan_dex_without_meta_is_refused() -> None:
    assert "no meta" in only_refusal(plan_registry(some_listings(metas={}), a_watchlist()))


def test_plan_dex_listed_twice_is_refused() -> None:
    listings = some_listings(dexes=(None, ListedDex(name="xyz"), ListedDex(name="xyz")))

    assert "2 times" in only_refusal(plan_registry(listings, a_watchlist()))


def test_plan_dex_in_the_place_of_the_validator_dex_is_refused() -> None:
    assert "first at 0" in only_refusal(plan_registry(some_listings(dexes=(ListedDex(name="xyz"),)), a_watchlist()))


@pytest.mark.parametrize(
    ("market", "words"),
    [
        (a_market("xyz:A B"), "a name is"),
        (a_market("xyz:A\nB"), "a name is"),
        (a_market("xyz:\x1b[31m"), "a name is"),
        (a_market("xyz:A*"), "a name is"),
        (a_market("xyz:../x"), "a name is"),
        (a_market("xyz:" + "A" * 1_000_000), "a name is"),
        (a_market("ALPHA"), "begins with 'xyz:'"),
        (a_market("abc:ALPHA"), "begins with 'xyz:'"),
        (a_market("xyz:"), "begins with 'xyz:'"),
        (a_market(sz_decimals=None), "szDecimals"),
        (a_market(sz_decimals=7), "szDecimals"),
        (a_market(leverage_max=None), "maxLeverage"),
        (a_market(leverage_max=0), "maxLeverage"),
        (a_market(margin_mode="weird"), "marginMode"),
        (a_market(deployer_fee_scale=Decimal(11)), "deployerFeeScale"),
    ],
)
def test_plan_unusable_market_is_refused_with_its_reason(market: ListedMarket, words: str) -> None:
    # F-107, F-108
    refusal = only_refusal(plan(market, a_market("xyz:FINE")))

    assert words in refusal
    assert refusal.isascii()
    assert refusal.isprintable()
    assert len(refusal) < 200


def test_plan_unusable_market_that_is_not_wanted_hinders_nothing() -> None:
    found = plan(a_market("xyz:A*"), a_market("xyz:FINE"), coins=("xyz:FINE",))

    assert found.refusals == ()
    assert [spec.asset_id for spec in found.specs] == [110_001]


def test_plan_names_that_differ_by_case_only_are_refused_both() -> None:
    found = plan(a_market("xyz:Alpha"), a_market("xyz:ALPHA"))

    assert len(found.refusals) == 2
    assert all("2 times" in refusal for refusal in found.refusals)


def test_plan_delisted_twin_of_a_wanted_name_is_refused() -> None:
    assert "2 times" in only_refusal(plan(a_market(is_delisted=True), a_market()))


def test_plan_requested_coin_that_is_not_listed_is_refused() -> None:
    assert "'xyz:NOPE' is not in meta" in only_refusal(plan(coins=("xyz:NOPE", "xyz:ALPHA")))
    assert "'ALPHA' is not in meta" in plan(coins=("ALPHA",)).refusals[0]


def test_plan_requested_coin_that_is_delisted_is_left_out_with_a_warning() -> None:
    found = plan(a_market(is_delisted=True), a_market("xyz:BETA"), coins=("xyz:ALPHA", "xyz:BETA"))

    assert found.refusals == ()
    assert [spec.coin for spec in found.specs] == ["xyz:BETA"]
    assert any("xyz:ALPHA is delisted" in warning for warning in found.warnings)


def test_plan_without_any_live_market_is_refused() -> None:
    assert "no live market" in only_refusal(plan(a_market(is_delisted=True)))


@pytest.mark.parametrize("reserved", ["xyz:ALPHA"])
def test_plan_coin_of_the_validator_dex_or_spot_is_a_collision(reserved: str) -> None:
    # F-20
    listings = some_listings(reserved_names=frozenset({reserved, "ALPHA"}))

    assert "validator dex or of spot" in only_refusal(plan_registry(listings, a_watchlist()))


def test_plan_coin_of_two_watched_dexes_is_a_collision() -> None:
    metas = {dex: DexMeta(universe=(a_market(f"{dex}:ALPHA"),), collateral_token=0) for dex in ("xyz", "XYZ")}
    listings = some_listings(dexes=(None, ListedDex(name="xyz"), ListedDex(name="XYZ")), metas=metas)

    assert "also listed by dex xyz" in only_refusal(plan_registry(listings, a_watchlist(dexes=("xyz", "XYZ"))))


def test_plan_over_the_venues_limits_is_refused_before_connecting() -> None:
    # F-15
    markets = [a_market(f"xyz:A{index}") for index in range(334)]

    found = plan(*markets, channel_count=3, user_channel_count=1, user_count=11)

    assert len(found.refusals) == 2
    assert "1003 subscriptions" in found.refusals[0]
    assert "11 users" in found.refusals[1]
    assert plan(*markets[:333], channel_count=3, user_channel_count=1, user_count=10).refusals == ()


def test_plan_meta_without_markets_or_collateral_is_refused() -> None:
    listings = some_listings(metas={"xyz": DexMeta(universe=(), collateral_token=None)})

    refusals = plan_registry(listings, a_watchlist()).refusals

    assert any("lists no market" in refusal for refusal in refusals)
    assert any("collateralToken" in refusal for refusal in refusals)


def test_plan_universe_beyond_the_asset_ids_is_refused() -> None:
    markets = tuple(a_market(f"xyz:A{index}") for index in range(10_001))

    assert "asset ids allow 10000" in plan_registry(some_listings(*markets), a_watchlist()).refusals[0]


def test_plan_gives_every_reason_at_once() -> None:
    found = plan(
        a_market("xyz:A B"),
        a_market("xyz:BETA", sz_decimals=None, leverage_max=None),
        a_market("xyz:Twin"),
        a_market("xyz:TWIN"),
        dexes=("xyz", "", "XYZ"),
        user_count=99,
    )

    for words in ("a name is", "szDecimals", "maxLeverage", "2 times", "empty", "did you mean", "99 users"):
        assert any(words in refusal for refusal in found.refusals), words


def test_plan_odd_leverage_is_worth_a_warning() -> None:
    assert "leverage up to 125" in plan(a_market(leverage_max=125)).warnings[0]


CHANGES = {
    "asset_id": 110_009,
    "sz_decimals": 4,
    "leverage_max": 10,
    "margin_mode": "noCross",
    "is_growth_mode": False,
    "deployer_fee_scale": Decimal("1.1"),
    "taker_fee_bps": Decimal("0.91"),
    "is_delisted": True,
    "collateral_token": 1,
    "coin": "xyz:BETA",
    "dex": "abc",
}


def test_spec_version_changes_with_every_field_and_ignores_spelling() -> None:
    spec = plan().specs[0]
    assert set(CHANGES) == set(spec.__struct_fields__) - {"spec_version"}

    versions = {spec_version_of(msgspec.structs.replace(spec, **{name: value})) for name, value in CHANGES.items()}

    assert len(versions | {spec.spec_version}) == len(CHANGES) + 1
    same = msgspec.structs.replace(spec, deployer_fee_scale=Decimal("1.00"), spec_version="other")
    assert spec_version_of(same) == spec.spec_version == spec_version_of(spec)


@given(
    names=st.lists(st.text(max_size=12) | st.from_regex(r"xyz:[A-Z]{1,4}", fullmatch=True), max_size=8),
    delisted=st.sets(st.integers(0, 7)),
)
def test_plan_of_any_names_never_raises_and_specs_are_sound(names: list[str], delisted: set[int]) -> None:
    markets = tuple(a_market(name, is_delisted=index in delisted) for index, name in enumerate(names))
    listings = some_listings(metas={"xyz": DexMeta(universe=markets, collateral_token=0)})

    found = plan_registry(listings, a_watchlist())

    for spec in (*found.specs, *found.delisted):
        assert markets[spec.asset_id - 110_000].name == spec.coin
    assert len({spec.coin.casefold() for spec in found.specs}) == len(found.specs)
    assert found.specs or found.refusals
    assert all(note.isascii() and note.isprintable() for note in (*found.refusals, *found.warnings))
