from decimal import Decimal
from typing import Any

import msgspec
import pytest
from core_builders import limits_with

from streaming.core.limits import WIDER_WHEN, Limits, widened


def _names(value: object, prefix: str = "") -> list[str]:
    if not isinstance(value, msgspec.Struct):
        return [prefix.removesuffix(".")]
    return [n for field in value.__struct_fields__ for n in _names(getattr(value, field), f"{prefix}{field}.")]


def test_widened_table_names_every_setting_once() -> None:
    assert set(_names(Limits())) == set(WIDER_WHEN) | {"gates.disabled_gates"}


def test_widened_equal_limits_are_accepted() -> None:
    assert widened(Limits(), Limits()) == ()


@pytest.mark.parametrize(
    ("section", "change", "is_wider"),
    [
        ("sizing", {"order_ntl_max": Decimal(51)}, True),
        ("sizing", {"order_ntl_max": Decimal(49)}, False),
        ("sizing", {"order_ntl_min": Decimal(9)}, True),
        ("detector", {"edge_bps_min": Decimal(1)}, True),
        ("detector", {"edge_bps_min": Decimal(3)}, False),
        ("gates", {"spread_ewma_alpha": Decimal("0.01")}, True),
        ("gates", {"halt_cooldown_ms": 59_999}, True),
        ("detector", {"followup_offsets_ms": (1_000,)}, False),
        ("detector", {"exclusion_ttl_ms": 1}, False),
    ],
)
def test_widened_one_change_is_judged_by_its_direction(section: str, change: dict[str, Any], is_wider: bool) -> None:
    name = f"{section}.{next(iter(change))}"
    assert widened(Limits(), limits_with(**{section: change})) == ((name,) if is_wider else ())


def test_widened_every_reason_is_named_at_once() -> None:
    new = limits_with(
        gates={"ctx_age_ms_max": 9_000, "disabled_gates": {"halt": "trial"}}, sizing={"alpha_ratio": Decimal("0.2")}
    )
    assert widened(Limits(), new) == ("gates.ctx_age_ms_max", "sizing.alpha_ratio", "gates.disabled_gates.halt")


def test_widened_a_gate_that_is_enabled_again_is_tighter() -> None:
    old = limits_with(gates={"disabled_gates": {"halt": "trial"}})
    assert widened(old, Limits()) == ()
