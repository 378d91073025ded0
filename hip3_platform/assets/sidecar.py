"""The running sidecar as external assets: the rotation it holds and its health, observed by sensors."""

import dagster as dg

from hip3_platform.analytics.gold import ROTATION
from hip3_platform.assets.common import SIDECAR_HEALTH, SIDECAR_ROTATION, gold_key


def sidecar_specs() -> list[dg.AssetSpec]:
    """Return what the sidecar holds, as external assets."""
    return [
        dg.AssetSpec(
            SIDECAR_ROTATION,
            deps=[gold_key(ROTATION)],
            description="The rotation the running sidecar holds; every push is an observation, a refusal a red check.",
            group_name="sidecar",
        ),
        dg.AssetSpec(
            SIDECAR_HEALTH,
            description="What the running sidecar says of itself, every 30 s.",
            group_name="sidecar",
        ),
    ]
