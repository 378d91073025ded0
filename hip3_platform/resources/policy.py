"""What an operator may choose about ranking and rotation, as one Dagster resource."""

from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from hip3_platform.analytics.rotating.allocation import AllocationRule
from hip3_platform.analytics.rotating.blacklist import BlacklistRule
from hip3_platform.analytics.rotating.capacity import CapacityRule
from hip3_platform.analytics.rotating.score import ScoreRule
from hip3_platform.analytics.rotating.standing import StandingRule

if TYPE_CHECKING:
    from hip3_platform.analytics.gold_rotation import RankingRules, RotationRules


class RotationPolicy(dg.ConfigurableResource[None]):
    """Bounds of a rotation. The sidecar's own limits stand above: a rotation only tightens them (I-32)."""

    market_count_max: int = Field(default=5, ge=1)
    ntl_max_usd: float = Field(default=100.0, gt=0, description="A market, at most the sidecar's position_ntl_max")
    risk_budget_usd: float = Field(default=20.0, gt=0, description="Worst loss of all members together")
    capital_usd: float = Field(default=500.0, gt=0, description="What the fractional Kelly is a share of")
    expiry_hours: int = Field(default=72, ge=25, description="After the end of the as-of day")
    blacklist: list[str] = Field(default=[], description="Markets that never enter, as the venue names them")
    account: str = Field(default="paper", description="Master address, or paper where no order is signed")

    @property
    def incidents(self) -> BlacklistRule:
        """What keeps a market out, and for how long."""
        return BlacklistRule(manual=tuple(sorted(self.blacklist)))

    @property
    def ranking(self) -> "RankingRules":
        """The part that ranks."""
        from hip3_platform.analytics.gold_rotation import RankingRules

        return RankingRules(capacity=CapacityRule(), score=ScoreRule())

    @property
    def rotation(self) -> "RotationRules":
        """The part that chooses."""
        from hip3_platform.analytics.gold_rotation import RotationRules

        return RotationRules(
            account=self.account,
            expiry_hours=self.expiry_hours,
            standing=StandingRule(market_count_max=self.market_count_max),
            allocation=AllocationRule(
                cap_usd=self.ntl_max_usd, capital_usd=self.capital_usd, risk_budget_usd=self.risk_budget_usd
            ),
            blacklist=self.incidents,
            capacity=CapacityRule(),
        )
