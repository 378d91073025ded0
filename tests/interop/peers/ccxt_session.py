"""ccxt, a second independent client, against a venue: only its urls are changed. Prints one JSON object.

Runs in `.cache/peers/ccxt`, never in our own environment. Usage: ccxt_session.py BASE_URL ADDRESS PRIVATE_KEY
"""

import asyncio
import json
import sys

import ccxt
import ccxt.pro

url, address, key = sys.argv[1:4]
settings = {"walletAddress": address, "privateKey": key, "options": {"sandboxMode": True}}


def at_venue(exchange: ccxt.Exchange) -> ccxt.Exchange:
    exchange.urls["api"] = {
        "public": url,
        "private": url,
        "ws": {"public": url.replace("http", "ws") + "/ws", "private": url.replace("http", "ws") + "/ws"},
    }
    return exchange


venue = at_venue(ccxt.hyperliquid(settings))
markets = venue.load_markets()
symbol = next(name for name, market in markets.items() if market["info"].get("name") == "xyz:NVDA")
said: dict[str, object] = {"symbol": symbol, "market": markets[symbol]}
book = venue.fetch_order_book(symbol)
said["book"] = {"bids": book["bids"][:3], "asks": book["asks"][:3]}
bid, ask = book["bids"][0][0], book["asks"][0][0]
said["ticker"] = venue.fetch_ticker(symbol)
said["candles"] = venue.fetch_ohlcv(symbol, "1m", limit=5)
said["trades"] = venue.fetch_trades(symbol) if venue.has["fetchTrades"] else []
said["funding"] = venue.fetch_funding_rates([symbol])
said["balance"] = venue.fetch_balance({"type": "swap", "dex": "xyz"})["total"]
said["leverage"] = venue.set_leverage(5, symbol, {"marginMode": "cross"})
px = float(venue.price_to_precision(symbol, bid * 0.9))
said["rest"] = venue.create_order(symbol, "limit", "buy", 0.5, px)
said["open_orders"] = venue.fetch_open_orders(symbol, params={"dex": "xyz"})
said["edited"] = venue.edit_order(said["rest"]["id"], symbol, "limit", "buy", 0.4, px)
said["order"] = venue.fetch_order(said["edited"]["id"], symbol)
said["cancel"] = venue.cancel_order(said["edited"]["id"], symbol)
try:
    venue.create_order(symbol, "limit", "buy", 0.01, px)
except ccxt.InvalidOrder as error:
    said["too_small"] = str(error)
said["taken"] = venue.create_order(symbol, "limit", "buy", 0.5, ask * 1.01, {"timeInForce": "Ioc"})
said["positions"] = venue.fetch_positions([symbol], {"dex": "xyz"})
said["closed"] = venue.create_order(
    symbol, "limit", "sell", 0.5, bid * 0.99, {"timeInForce": "Ioc", "reduceOnly": True}
)
said["my_trades"] = venue.fetch_my_trades(symbol)


async def stream() -> dict[str, object]:
    socket = at_venue(ccxt.pro.hyperliquid(settings))
    try:
        await socket.load_markets()
        seen = await socket.watch_order_book(symbol)
        trades = await socket.watch_trades(symbol)
        ticker = await socket.watch_ticker(symbol)
        order = await socket.create_order_ws(symbol, "limit", "buy", 0.5, px)
        cancelled = await socket.cancel_order_ws(order["id"], symbol)
        return {
            "bids": seen["bids"][:1],
            "trades": trades[:1],
            "ticker": ticker["last"] or ticker["markPrice"],
            "order": order,
            "cancelled": cancelled,
        }
    finally:
        await socket.close()


said["stream"] = asyncio.run(asyncio.wait_for(stream(), 30))
print(json.dumps(said))
