"""What an operator may choose about ranking and rotation, as one Dagster resource."""

from decimal import Decimal

import dagster as dg
from pydantic import Field

from hip3_platform.analytics.ranking import RankingRule
from hip3_platform.analytics.rotation import RotationRule


class RotationPolicy(dg.ConfigurableResource[None]):
    """Window, thresholds and bounds. The sidecar's own limits stand above: a rotation only tightens them (I-32)."""

    window_days: int = Field(default=14, ge=1, le=366)
    episode_count_min: int = Field(default=30, ge=2)
    market_count_max: int = Field(default=5, ge=1)
    ntl_max: str = Field(default="100", description="Quote units a market, at most the sidecar's position_ntl_max")
    expiry_hours: int = Field(default=72, ge=25, description="After the end of the as-of day")
    blacklist: list[str] = Field(default=[], description="Markets that never enter, as the venue names them")
    account: str = Field(default="paper", description="Master address, or paper where no order is signed")

    @property
    def ranking(self) -> RankingRule:
        """The part that ranks."""
        return RankingRule(window_days=self.window_days, episode_count_min=self.episode_count_min)

    @property
    def rotation(self) -> RotationRule:
        """The part that chooses."""
        return RotationRule(
            market_count_max=self.market_count_max,
            ntl_max=Decimal(self.ntl_max),
            expiry_hours=self.expiry_hours,
            blacklist=tuple(sorted(self.blacklist)),
            account=self.account,
        )
