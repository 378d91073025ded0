"""The official SDK's Exchange class against a venue, on a builder dex. Prints one JSON object, a value a step.

Runs in `.cache/peers/sdk`, never in our own environment. Usage: sdk_trade.py BASE_URL
"""

import json
import sys
import time

import eth_account
from hyperliquid.exchange import Exchange
from hyperliquid.info import Info
from hyperliquid.utils.types import Cloid

url = sys.argv[1]
coin, isolated = "xyz:NVDA", "xyz:HOOD"
dexes = ["", "xyz"]
wallet = eth_account.Account.create()
user = wallet.address
info = Info(url, skip_ws=True, perp_dexs=dexes)
exchange = Exchange(wallet, url, perp_dexs=dexes)
gtc = {"limit": {"tif": "Gtc"}}
said: dict[str, object] = {"user": user}


def round_px(px: float) -> float:
    return round(float(f"{px:.4g}"), 2)


mid = float(info.all_mids("xyz")[coin])
far, near = round_px(mid * 0.9), round_px(mid * 0.92)
said["state_before"] = info.user_state(user, "xyz")
said["leverage"] = exchange.update_leverage(5, coin)
said["leverage_isolated"] = exchange.update_leverage(3, isolated, is_cross=False)
said["leverage_refused"] = exchange.update_leverage(5, isolated, is_cross=True)

# An order that rests: found, modified, cancelled by oid.
said["rest"] = exchange.order(coin, True, 0.5, far, gtc)
oid = said["rest"]["response"]["data"]["statuses"][0]["resting"]["oid"]
said["open_orders"] = info.open_orders(user, "xyz")
said["frontend_open_orders"] = info.frontend_open_orders(user, "xyz")
said["status_resting"] = info.query_order_by_oid(user, oid)
said["modify"] = exchange.modify_order(oid, coin, True, 0.4, near, gtc)
new_oid = said["modify"]["response"]["data"]["statuses"][0]["resting"]["oid"]
said["status_modified"] = info.query_order_by_oid(user, oid)
said["cancel"] = exchange.cancel(coin, new_oid)
said["cancel_again"] = exchange.cancel(coin, new_oid)

# By cloid.
cloid = Cloid.from_str("0x0000000000000000000000000000abcd")
said["rest_cloid"] = exchange.order(coin, False, 0.5, round_px(mid * 1.1), {"limit": {"tif": "Alo"}}, cloid=cloid)
said["status_cloid"] = info.query_order_by_cloid(user, cloid)
said["cancel_cloid"] = exchange.cancel_by_cloid(coin, cloid)
said["status_cancelled"] = info.query_order_by_cloid(user, cloid)

# Refusals.
said["alo_crossing"] = exchange.order(coin, True, 0.5, round_px(mid * 1.05), {"limit": {"tif": "Alo"}})
said["too_small"] = exchange.order(coin, True, 0.01, far, gtc)
said["reduce_only_flat"] = exchange.order(coin, True, 0.5, far, gtc, reduce_only=True)
said["ioc_unfilled"] = exchange.order(coin, True, 0.5, far, {"limit": {"tif": "Ioc"}})
said["tick"] = exchange.order(coin, True, 0.5, 123.456, gtc)
said["trigger"] = exchange.order(
    coin, True, 0.5, far, {"trigger": {"isMarket": True, "triggerPx": far, "tpsl": "sl"}}, reduce_only=True
)
said["schedule_cancel"] = exchange.schedule_cancel(int(time.time() * 1000) + 10_000)

# A position: opened, seen, closed.
said["open"] = exchange.market_open(coin, True, 0.5)
said["state_open"] = info.user_state(user, "xyz")
said["close"] = exchange.market_close(coin)
said["state_closed"] = info.user_state(user, "xyz")
said["fills"] = info.user_fills(user)
said["fills_by_time"] = info.user_fills_by_time(user, 0)
said["open_isolated"] = exchange.market_open(isolated, False, 1.0)
said["margin_added"] = exchange.update_isolated_margin(10, isolated)
said["state_isolated"] = info.user_state(user, "xyz")
said["close_isolated"] = exchange.market_close(isolated)

# Several at once, half of them wrong.
orders = [
    {"coin": coin, "is_buy": True, "sz": 0.5, "limit_px": far, "order_type": gtc, "reduce_only": False},
    {"coin": coin, "is_buy": True, "sz": 0.01, "limit_px": far, "order_type": gtc, "reduce_only": False},
]
said["bulk"] = exchange.bulk_orders(orders)
said["bulk_cancel"] = exchange.bulk_cancel(
    [{"coin": coin, "oid": said["bulk"]["response"]["data"]["statuses"][0]["resting"]["oid"]}, {"coin": coin, "oid": 1}]
)

# An agent signs for the master; a stale expiry and a used nonce are refused; noop burns one.
said["approve_agent"], agent_key = exchange.approve_agent("probe")
agent = Exchange(eth_account.Account.from_key(agent_key), url, account_address=user, perp_dexs=dexes)
said["agent_order"] = agent.order(coin, True, 0.5, far, gtc)
agent_oid = said["agent_order"]["response"]["data"]["statuses"][0]["resting"]["oid"]
said["agent_cancel"] = agent.cancel(coin, agent_oid)
said["extra_agents"] = info.extra_agents(user)
said["agent_role"] = info.user_role(agent.wallet.address)
exchange.set_expires_after(int(time.time() * 1000) - 1_000)
said["expired"] = exchange.order(coin, True, 0.5, far, gtc)
exchange.set_expires_after(None)
nonce = int(time.time() * 1000)
said["noop"] = exchange.noop(nonce)
said["nonce_used"] = exchange.noop(nonce)

said["historical_orders"] = info.historical_orders(user)
said["user_rate_limit"] = info.user_rate_limit(user)
said["user_fees"] = info.user_fees(user)
print(json.dumps(said))
