"""gold/gate_outcomes and gold/gate_prices: what every limit blocked, and what that cost or saved."""

from typing import Any

import dagster as dg

from hip3_platform.analytics.evidence.tables import GATE_OUTCOMES, GATE_PRICES, GATE_SOURCES, WINDOW_DAYS
from hip3_platform.assets.common import (
    FRESHNESS,
    WRITER_POOL,
    bronze_key,
    gold_key,
    looking_back,
    schema_of_frame,
    table_value,
    written_metadata,
)
from hip3_platform.resources.evidence import EvidencePolicy
from hip3_platform.resources.warehouse import WarehouseResource

_SHOWN = (
    "coin", "kind", "name", "limit_name", "limit_value", "limit_values", "state", "blocked_count", "only_count",
    "only_fill_count", "price_bps", "price_bps_low", "price_bps_high", "price_usd", "price_usd_low", "price_usd_high",
    "passed_bps", "why",
)  # fmt: skip
SHOWN_ROWS_MAX = 200
"""Rows in the table of the UI; the file holds all."""


def build_gate_outcomes(partitions: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    """Return the asset with what would have become of every signal of a day."""
    orders = dg.AssetDep(bronze_key("orders"), partition_mapping=looking_back(WINDOW_DAYS))

    @dg.asset(
        key=gold_key(GATE_OUTCOMES), deps=[*(bronze_key(name) for name in GATE_SOURCES), orders],
        group_name="gold", partitions_def=partitions, kinds={"polars"}, freshness_policy=FRESHNESS, pool=WRITER_POOL,
    )  # fmt: skip
    def gate_outcomes(
        context: dg.AssetExecutionContext, warehouse: WarehouseResource, evidence: EvidencePolicy
    ) -> dg.MaterializeResult[Any]:
        """Every signal, taken or blocked, with its executable result; one row a signal."""
        from hip3_platform.analytics import counterfactual

        venue, day = warehouse.checked_venue, context.partition_key
        rule = counterfactual.GateRule(latency_ms=_latency_ms(warehouse, day, evidence))
        written = counterfactual.write_gate_outcomes(warehouse.path, venue, day, rule)
        frame = written.frame
        states = {f"{name}_count": int((frame["state"] == name).sum()) for name in ("filled", "missed", "void")}
        schema = schema_of_frame(counterfactual.OUTCOME_SCHEMA, counterfactual.OUTCOME_ABOUT)
        return dg.MaterializeResult(
            metadata={
                **written_metadata(written, venue, schema),
                "blocked_count": int((frame["blocked_by"] != "").sum()),
                "refused_count": int((frame["refused_by"] != "").sum()),
                **states,
            }
        )

    return gate_outcomes


def build_gate_prices(partitions: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    """Return the asset with the price of every gate and filter over the window that ends with the day."""
    window = looking_back(WINDOW_DAYS)

    @dg.asset(
        key=gold_key(GATE_PRICES),
        deps=[dg.AssetDep(key, partition_mapping=window) for key in (gold_key(GATE_OUTCOMES), bronze_key("configs"))],
        group_name="gold", partitions_def=partitions, kinds={"polars"}, freshness_policy=FRESHNESS, pool=WRITER_POOL,
    )  # fmt: skip
    def gate_prices(context: dg.AssetExecutionContext, warehouse: WarehouseResource) -> dg.MaterializeResult[Any]:
        """What each limit cost or saved per market: executable results of what it alone blocked, with bounds."""
        from hip3_platform.analytics import counterfactual
        from hip3_platform.looks.render import markdown_image
        from hip3_platform.looks.sections.trading import by_weight, prices_figure

        venue = warehouse.checked_venue
        written = counterfactual.write_gate_prices(
            warehouse.path, venue, context.partition_key, counterfactual.GateRule()
        )
        frame = written.frame
        counts = {f"{name}_count": int((frame["state"] == name).sum()) for name in ("costs", "saves", "unclear")}
        schema = schema_of_frame(counterfactual.PRICE_SCHEMA, counterfactual.PRICE_ABOUT)
        return dg.MaterializeResult(
            metadata={
                "prices": table_value(by_weight(frame).head(SHOWN_ROWS_MAX), _SHOWN),
                "plot": dg.MetadataValue.md(markdown_image(prices_figure(frame, venue), "what each limit cost")),
                **written_metadata(written, venue, schema),
                **counts,
                "insufficient_count": int((frame["state"] == "insufficient").sum()),
            }
        )

    return gate_prices


def _latency_ms(warehouse: WarehouseResource, day: str, evidence: EvidencePolicy) -> int:
    """Return the latency that markets are judged at: limits are priced at the same."""
    from hip3_platform.analytics.gold_evidence import latency_until

    return latency_until(warehouse.path, warehouse.checked_venue, day, evidence.rule).ms
