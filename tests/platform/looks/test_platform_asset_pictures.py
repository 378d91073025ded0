"""What people look at in the UI: the assets of a day carry their pictures, each with everything inside."""

import base64

import dagster as dg
import pytest
from platform_warehouse import DAY_1

PICTURES = {
    "policy_hours": {"hour_of_week"},
    "policy_fills": {"edges"},
    "verdicts": {"decay"},
    "approvals": {"intervals"},
    "markouts": {"edges"},
    "market_ranking": {"bounds"},
}


@pytest.mark.usefixtures("one_day")
def test_assets_of_a_day_carry_their_pictures(run_day) -> None:
    result = run_day(DAY_1)
    assert result.success
    for table, names in PICTURES.items():
        [event] = [
            each for each in result.get_asset_materialization_events() if each.asset_key == dg.AssetKey(["gold", table])
        ]
        metadata = event.materialization.metadata
        for name in names:
            value = metadata[name]
            assert isinstance(value, dg.MarkdownMetadataValue)
            head, _, encoded = (value.md_str or "").partition("](data:image/svg+xml;base64,")
            assert head.startswith("![")
            assert base64.b64decode(encoded.rstrip(")")).startswith(b"<svg")
