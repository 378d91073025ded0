"""A scenario of one small market, for tests that need days and nothing in particular on them."""

ONE_MARKET = """
name = "one"
dexes = [{ name = "", full_name = "validator" }, { name = "xyz" }]
[[markets]]
coin = "xyz:ALPHA"
sz_decimals = 3
leverage_max = 10
session = "crypto"
px = 1040.0
spread_bps = 1.0
touch_usd = 40e3
depth_usd = 400e3
vol_bps = 0.5
oi_usd = 4e6
volume_usd = 6e6
[markets.character]
label = "stale_quote"
is_always_open = true
jump_rate_h = 60.0
jump_bps_min = 6.0
jump_bps_scale = 3.0
shock_bps = 0.0
oracle_noise_bps = 0.0
slow_ratio = 1.0
slow_delay_s = 1.5
basis_bps = 0.0
bbo_rate_s = 0.5
"""
