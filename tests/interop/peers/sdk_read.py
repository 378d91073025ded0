"""The official SDK's Info class against a venue: every read it offers that the venue documents. Prints one JSON object.

Runs in `.cache/peers/sdk`, never in our own environment. Usage: sdk_read.py BASE_URL ADDRESS
"""

import json
import sys
import time

from hyperliquid.info import Info
from hyperliquid.utils.types import Cloid

url, address = sys.argv[1:3]
info = Info(url, skip_ws=True, perp_dexs=["", "xyz"])
now_ms = int(time.time() * 1000)
coin = "xyz:NVDA"
answers = {
    "asset": info.name_to_asset(coin),
    "perp_dexs": info.perp_dexs(),
    "meta": info.meta("xyz"),
    "meta_and_asset_ctxs": info.meta_and_asset_ctxs(),
    "spot_meta": info.spot_meta(),
    "spot_meta_and_asset_ctxs": info.spot_meta_and_asset_ctxs(),
    "all_mids": info.all_mids("xyz"),
    "l2_snapshot": info.l2_snapshot(coin),
    "candles": info.candles_snapshot(coin, "1m", now_ms - 600_000, now_ms),
    "funding_history": info.funding_history(coin, now_ms - 6 * 3_600_000),
    "user_state": info.user_state(address, "xyz"),
    "spot_user_state": info.spot_user_state(address),
    "open_orders": info.open_orders(address, "xyz"),
    "frontend_open_orders": info.frontend_open_orders(address, "xyz"),
    "user_fills": info.user_fills(address),
    "user_fills_by_time": info.user_fills_by_time(address, now_ms - 60_000),
    "user_fees": info.user_fees(address),
    "user_funding_history": info.user_funding_history(address, now_ms - 60_000),
    "ledger_updates": info.user_non_funding_ledger_updates(address, 0),
    "historical_orders": info.historical_orders(address),
    "user_rate_limit": info.user_rate_limit(address),
    "user_role": info.user_role(address),
    "extra_agents": info.extra_agents(address),
    "abstraction": info.query_user_abstraction_state(address),
    "order_by_oid": info.query_order_by_oid(address, 1),
    "order_by_cloid": info.query_order_by_cloid(address, Cloid.from_int(1)),
}
print(json.dumps(answers))
