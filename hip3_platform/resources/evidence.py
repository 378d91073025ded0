"""What the evidence assumes: latency and the family of policies. One resource, so that every asset assumes the same."""

from typing import TYPE_CHECKING, Literal

import dagster as dg
from pydantic import Field

if TYPE_CHECKING:
    from hip3_platform.analytics.gold_evidence import EvidenceRule


class EvidencePolicy(dg.ConfigurableResource[None]):
    """Assumptions under which markets are judged."""

    latency_ms: int = Field(
        default=200,
        description="least from the decision to the match: 100, 200, 400, 500 or 800; real orders can only raise it",
    )
    origins: Literal["both", "oracle_led"] = Field(
        default="both", description="which policies may be chosen; oracle_led is safer where the latency is in doubt"
    )

    @property
    def rule(self) -> "EvidenceRule":
        """The same as the analytics take it."""
        from hip3_platform.analytics.gold_evidence import EvidenceRule

        return EvidenceRule(latency_ms=self.latency_ms, origins=self.origins)
