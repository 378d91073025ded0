import pytest

from streaming.hyperliquid.limits import request_weight


@pytest.mark.parametrize(
    ("info_type", "weight"),
    [("l2Book", 2), ("exchangeStatus", 2), ("meta", 20), ("perpDexs", 20), ("userRole", 60), ("someNewType", 20)],
)
def test_request_weight_is_the_documented_one(info_type: str, weight: int) -> None:
    assert request_weight(info_type) == weight
