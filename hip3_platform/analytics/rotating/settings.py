"""Hot settings of a market: the approved policy, as far as the sidecar's own file lets it be said by tightening.

Rule 1: a threshold below the sidecar's own, or a hold longer than its time stop, can not be asked for: the sidecar's
own is tighter and stays. The market's reason says so, because it then trades another policy than the approved one.
Rule 2: what the sidecar has is read from its tables `configs` and `specs`. Unknown, the policy is asked for as it is:
the sidecar refuses the whole document if that is wider, and says why. Silence would trade below the threshold approved.
"""

from dataclasses import dataclass
from decimal import Decimal

import msgspec

from streaming.core.limits import Limits
from streaming.core.trigger import threshold_bps_of
from streaming.core.units import NS_PER_MS, NS_PER_S

_MS_PER_S = NS_PER_S // NS_PER_MS


@dataclass(frozen=True, slots=True)
class Own:
    """The sidecar's own settings of one market; None is unknown."""

    threshold_bps: Decimal | None = None
    time_stop_ms: int | None = None


@dataclass(frozen=True, slots=True)
class HotSettings:
    """What the document says of one market; None leaves the sidecar's own."""

    threshold_bps: Decimal | None
    is_oracle_led_only: bool
    hold_ms_max: int | None
    note: str
    """Where the sidecar's own settings stay; empty where the policy is asked for as it is."""


class _Configured(msgspec.Struct):
    limits: Limits = Limits()


def correlation_groups_of(config_json: str) -> dict[str, tuple[str, ...]]:
    """Return the groups of a row of table `configs`; raises msgspec.DecodeError for another text."""
    return msgspec.json.decode(config_json, type=_Configured).limits.losses.correlation_groups


def own_of(config_json: str, taker_fee_bps: Decimal | None) -> Own:
    """Return the sidecar's own settings of a market.

    Args:
        config_json: Column of table `configs`, newest row.
        taker_fee_bps: Column of table `specs`, newest row of the market; None is unknown.

    Raises:
        msgspec.DecodeError: If the text is no configuration.
    """
    limits = msgspec.json.decode(config_json, type=_Configured).limits
    threshold = None if taker_fee_bps is None else threshold_bps_of(taker_fee_bps, limits.detector)
    return Own(threshold_bps=threshold, time_stop_ms=limits.exits.time_stop_ms)


def hot_settings(threshold_bps: int | None, origin: str | None, horizon_s: int | None, own: Own) -> HotSettings:
    """Return the settings of an approved policy; a part that is None is left to the sidecar."""
    notes = []
    threshold = None if threshold_bps is None else Decimal(threshold_bps)
    if threshold is not None and own.threshold_bps is not None and threshold < own.threshold_bps:
        notes.append(f"the sidecar's threshold {own.threshold_bps.normalize():f} bps is above T{threshold} and stays")
        threshold = None
    hold_ms = None if horizon_s is None else horizon_s * _MS_PER_S
    if hold_ms is not None and own.time_stop_ms is not None and hold_ms > own.time_stop_ms:
        notes.append(f"the sidecar's time stop {own.time_stop_ms} ms is shorter than {horizon_s} s and stays")
        hold_ms = None
    return HotSettings(
        threshold_bps=threshold, is_oracle_led_only=origin == "oracle_led", hold_ms_max=hold_ms, note="; ".join(notes)
    )
