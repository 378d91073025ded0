import pytest

from streaming.hyperliquid.limits import item_weight, request_weight


@pytest.mark.parametrize(
    ("info_type", "weight"),
    [("l2Book", 2), ("exchangeStatus", 2), ("meta", 20), ("perpDexs", 20), ("userRole", 60), ("someNewType", 20)],
)
def test_request_weight_is_the_documented_one(info_type: str, weight: int) -> None:
    assert request_weight(info_type) == weight


@pytest.mark.parametrize(
    ("info_type", "count", "weight"),
    [("userFills", 19, 0), ("userFills", 20, 1), ("userFunding", 500, 25), ("openOrders", 1_000, 0)],
)
def test_item_weight_is_one_for_twenty_items_of_a_list(info_type: str, count: int, weight: int) -> None:
    assert item_weight(info_type, count) == weight
