"""A venue and a sidecar as real processes, ready to trade: what tests of real trading begin from.

The venue's markets stand still, a tick of spread and nothing that moves, until a test moves an oracle: a shifted oracle
is an opportunity that lasts, so that a position is entered when a test says so, held as long as it likes, and left when
the oracle is put back.
"""

import json
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

import msgspec
from children import HIP3, Running, running
from sim_requests import Wallet

from streaming.contracts.control import MarketStatusView, StatusView
from streaming.contracts.paths import journal_folder
from streaming.contracts.rotation import RotationDoc, RotationMarket, encode_rotation
from streaming.core.effects import GatesEvaluated
from streaming.core.trading.effects import ActionDecided, LiveFillApplied, LiveOrderChanged, LivePositionChanged
from streaming.core.trading.model import LiveOrder, OrderStatus
from streaming.core.units import NS_PER_MS, NS_PER_S
from streaming.hyperliquid.signing import Signer, address_of_key
from streaming.shell.execution.wire_action import signed_action
from streaming.shell.journal.format import OutputsRecord
from streaming.shell.journal.reader import list_sessions, read_session

Json = Any
T = TypeVar("T")
ALPHA, BETA, GAMMA, DELTA = COINS = ("xyz:ALPHA", "xyz:BETA", "xyz:GAMMA", "xyz:DELTA")
LIVELY = ("xyz:EPSILON", "xyz:ZETA", "xyz:ETA", "xyz:THETA")
"""Markets whose oracle jumps by itself, every five seconds or so, and is followed by the makers."""
SHIFT_BPS = 30.0
"""Above the threshold of a market in growth mode, below what gate 2 takes for a divergence."""
CALM_RATIO = Decimal("0.0002")
"""Below this distance of oracle and mid an episode is over and the next may begin."""
NTL_MAX = Decimal(100)
"""What the rotation allows each market."""
_USDC = "USDC:0x6d1e7cde53ba9467b783cb7c530ce054"
_MARKET = """
[[markets]]
coin = "{coin}"
sz_decimals = 3
leverage_max = 10
is_growth_mode = true
session = "crypto"
px = 1040.0
spread_bps = {spread_bps}
touch_usd = 40e3
depth_usd = 400e3
vol_bps = 0.0
oi_usd = 4e6
volume_usd = 6e6
[markets.character]
label = "stale_quote"
is_always_open = true
jump_rate_h = {jump_rate_h}
jump_bps_min = 25.0
jump_bps_scale = 1.0
shock_bps = 0.0
oracle_noise_bps = 0.0
slow_ratio = 1.0
slow_delay_s = 1.5
basis_bps = 0.0
bbo_rate_s = 4.0
"""
_SCENARIO = """
name = "still"
dexes = [{{ name = "", full_name = "validator" }}{dexes}]
[rules.limits]
is_enforced = {is_limited}
{markets}
"""
_CONFIG = {
    "limits.gates": {"spread_ewma_count_min": 3, "halt_cooldown_ms": 1_000, "param_change_cooldown_ms": 1_000},
    "limits.exits": {"time_stop_ms": 600_000, "quick_profit_bps": 500},
    "limits.actions": {"entry_expiry_ms": 1_500, "exit_expiry_ms": 2_000, "answer_timeout_ms": 2_000},
    "limits.losses": {"is_closed_session_traded": True, "loss_streak_count_max": 1_000, "reentry_cooldown_ms": 1},
}
"""What tests need otherwise: positions that stay until the test ends them, markets that trade on any day, and doubts
that end in seconds."""


def until(condition: Callable[[], T], timeout_s: float = 15, what: str = "", *, why: Callable[[], object] = str) -> T:
    """Poll a child from outside until it says so: there is nothing to wait on but its answers."""
    deadline_s = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline_s, f"not within {timeout_s} s {what}: {why()}"
        time.sleep(0.05)
    return found


def request(method: str, url: str, body: Json = None, headers: dict[str, str] | None = None) -> tuple[int, Json]:
    """Return status and JSON body of a request to loopback."""
    raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    made = urllib.request.Request(url, raw, {"Content-Type": "application/json"} | (headers or {}), method=method)
    try:
        with urllib.request.urlopen(made, timeout=10) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        text = error.read()
        return error.code, json.loads(text) if text.startswith(b"{") else text.decode()


class SimVenue:
    """The simulated venue as a process, with its faults."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def switch(self, kind: str, **spec: Json) -> int:
        """Switch a fault on and return its number."""
        status, body = request("POST", self.url + "/admin/faults", {"kind": kind} | spec)
        assert status == 201, body
        return int(body["number"])

    def clear_all_but(self, kind: str) -> None:
        """Switch off every fault that is not of a kind."""
        for fault in self.faults():
            if fault["kind"] != kind:
                self.clear(int(fault["number"]))

    def happen(self, kind: str, **spec: Json) -> None:
        """Let an event happen, and wait until it has."""
        number = self.switch(kind, **spec)
        until(lambda: self.strikes(number), what=f"until {kind}")
        self.clear(number)

    def clear(self, number: int | None = None) -> None:
        """Switch one fault off, or all."""
        request("DELETE", self.url + ("/admin/faults" if number is None else f"/admin/faults/{number}"))

    def strikes(self, number: int) -> int:
        """Return how often a fault has struck."""
        return next(int(fault["strike_count"]) for fault in self.faults() if fault["number"] == number)

    def faults(self) -> list[Json]:
        return list(request("GET", self.url + "/admin/faults")[1]["faults"])

    def numbers(self, kind: str) -> list[int]:
        """Return the numbers of the faults of a kind that are on."""
        return [int(fault["number"]) for fault in self.faults() if fault["kind"] == kind]

    def shift(self, *coins: str, bps: float = SHIFT_BPS) -> int:
        """Move oracles away from their books, all at once: opportunities, until the fault is switched off."""
        return self.switch("oracle", coins=list(coins), parameters={"shape": "shifted", "bps": bps})

    def info(self, kind: str, user: str, **more: Json) -> Json:
        return request("POST", self.url + "/info", {"type": kind, "user": user} | more)[1]

    def approve(self, master: Wallet, agent: Wallet, name: str = "hip3") -> None:
        """Let an agent sign for an account."""
        self._sign(master, type="approveAgent", agentAddress=agent.address, agentName=name)

    def send(self, master: Wallet, source_dex: str, target_dex: str, usd: str) -> None:
        """Move money of an account from one dex to another, as its owner does."""
        self._sign(
            master, type="sendAsset", destination=master.address, sourceDex=source_dex, destinationDex=target_dex,
            token=_USDC, amount=usd, fromSubAccount="",
        )  # fmt: skip

    def _sign(self, master: Wallet, **action: Json) -> None:
        nonce = max(time.time_ns() // NS_PER_MS, master.next_nonce())
        head = {"signatureChainId": "0x66eee", "hyperliquidChain": "Testnet", "nonce": nonce}
        status, body = request("POST", self.url + "/exchange", master.sign_user(action | head, nonce))
        assert (status, body["status"]) == (200, "ok"), body

    def positions(self, user: str, dex: str = "xyz") -> dict[str, Decimal]:
        """Return what the venue says an account holds on a dex."""
        state = self.info("clearinghouseState", user, dex=dex)
        return {item["position"]["coin"]: Decimal(item["position"]["szi"]) for item in state["assetPositions"]}

    def cash(self, user: str) -> Decimal:
        """Return account value less unrealised results: what fills, fees, funding and transfers have left."""
        state = self.info("clearinghouseState", user, dex="xyz")
        open_pnl = sum((Decimal(item["position"]["unrealizedPnl"]) for item in state["assetPositions"]), Decimal(0))
        return Decimal(state["marginSummary"]["accountValue"]) - open_pnl

    def fills(self, user: str) -> list[Json]:
        return list(self.info("userFills", user))

    def orders(self, user: str) -> list[Json]:
        """Return every order the venue has taken of an account, one entry an order."""
        seen = {item["order"]["oid"]: item["order"] for item in self.info("historicalOrders", user)}
        return list(seen.values())


@contextmanager
def sim_venue(
    folder: Path,
    coins: Sequence[str] = COINS,
    lively: Sequence[str] = (),
    wide: Sequence[str] = (),
    *,
    is_limited: bool = False,
) -> Iterator[SimVenue]:
    """Run a venue of still markets, of some that jump by themselves, and some with a wide spread.

    Without limits it answers any number of requests.
    """
    # Makers who want a hundredth of a tick never change their minds about which tick it is: with half of one, an order
    # now and then meets an ask that has just gone up.
    markets = [_MARKET.format(coin=coin, jump_rate_h=0.0, spread_bps=0.01) for coin in coins]
    markets += [_MARKET.format(coin=coin, jump_rate_h=1_000.0, spread_bps=0.5) for coin in lively]
    markets += [_MARKET.format(coin=coin, jump_rate_h=0.0, spread_bps=30.0) for coin in wide]
    scenario = folder / "still.toml"
    named = dict.fromkeys(coin.partition(":")[0] for coin in (*coins, *lively, *wide))
    dexes = "".join(f', {{ name = "{dex}" }}' for dex in named)
    scenario.write_text(_SCENARIO.format(dexes=dexes, markets="".join(markets), is_limited=str(is_limited).lower()))
    with running("venue", "--port", "0", "--scenario", str(scenario)) as child:
        yield SimVenue(int(child.said["port"]))
        assert child.end() == 0


class Desk:
    """An account with an approved agent, a warehouse and a configuration: what survives a sidecar."""

    _count = 100

    def __init__(self, venue: SimVenue, root: Path, coins: Sequence[str], config: dict[str, dict[str, Json]]) -> None:
        self.venue = venue
        self.root = root
        self.coins = tuple(coins)
        self.master, self.agent = Desk._wallet(), Desk._wallet()
        self.key_file = root / "agent.key"
        self.key_file.touch(mode=0o600)
        self.key_file.write_text(self.agent.key.hex())
        self.config_file = root / "hip3.toml"
        self.write_config(config)
        venue.approve(self.master, self.agent)

    @staticmethod
    def _wallet() -> Wallet:
        """Return a wallet whose key looks like one: a small number would be found in every file."""
        Desk._count += 1
        wallet = Wallet(1)
        wallet.key = sha256(str(Desk._count).encode()).digest()
        wallet.address = address_of_key(wallet.key)
        return wallet

    @property
    def user(self) -> str:
        return self.master.address

    def write_config(self, config: dict[str, dict[str, Json]]) -> None:
        """Write the configuration: what tests need, and on top of it what this one needs."""
        top = {
            "sim_port": self.venue.port, "control_port": 0, "account": self.user, "coins": list(self.coins),
            "agent_key_file": str(self.key_file), "warehouse": str(self.root / "w"),
        } | config.get("", {})  # fmt: skip
        tables = {"": top} | {
            name: _CONFIG.get(name, {}) | config.get(name, {}) for name in [*_CONFIG, *config] if name
        }
        lines = []
        for name, values in tables.items():
            lines += [f"[{name}]"] if name else []
            lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
        self.config_file.write_text("\n".join(lines) + "\n")

    @contextmanager
    def sidecar(self, *, environment: dict[str, str] | None = None) -> Iterator["Trader"]:
        """Run the sidecar; whatever state it is in."""
        prefix = ("env", *(f"{key}={value}" for key, value in (environment or {}).items())) if environment else ()
        with running("run", "--config", str(self.config_file), prefix=prefix, program=HIP3) as child:
            trader = Trader(self, child)
            try:
                yield trader
            finally:
                if child.process.poll() is None:
                    child.process.send_signal(signal.SIGKILL)
                trader.log_text()  # the pipe is closed once its reader has ended

    @contextmanager
    def trading(self, *, environment: dict[str, str] | None = None) -> Iterator["Trader"]:
        """Run the sidecar, armed and ready to trade."""
        with self.sidecar(environment=environment) as trader:
            trader.arm()
            trader.until_trading()
            yield trader

    def outputs(self, kind: type[T]) -> list[T]:
        """Return what all sessions decided so far, of one kind, from the journals."""
        root, found = self.root / "w", list[T]()
        for session in list_sessions(root, "sim"):
            for record in read_session(journal_folder(root, "sim", session)):
                if isinstance(record, OutputsRecord):
                    found += [output for output in record.outputs if isinstance(output, kind)]
        return found

    def our_orders(self) -> dict[str, LiveOrder]:
        """Return our orders by cloid, as they stand in the journal."""
        return {output.order.cloid: output.order for output in self.outputs(LiveOrderChanged)}

    def entries(self) -> list[LiveOrder]:
        return [order for order in self.our_orders().values() if not order.is_reduce_only]

    def exits(self) -> list[LiveOrder]:
        return [order for order in self.our_orders().values() if order.is_reduce_only]

    def statuses(self, cloid: str) -> list[OrderStatus]:
        """Return the statuses an order went through, without repetitions."""
        found = [output.order.status for output in self.outputs(LiveOrderChanged) if output.order.cloid == cloid]
        return [status for index, status in enumerate(found) if index == 0 or found[index - 1] is not status]

    def venue_entries(self) -> list[Json]:
        """Return the orders that could add risk, as the venue has them."""
        return [order for order in self.venue.orders(self.user) if not order["reduceOnly"]]

    def resend(self, action: ActionDecided) -> Json:
        """Send the order of an action once more with the sidecar's key, as a crash resend would; return its status."""
        now_ms = time.time_ns() // NS_PER_MS
        again = msgspec.structs.replace(action, nonce=now_ms, expires_ts_ms=now_ms + 5_000)
        body = signed_action(Signer(self.agent.key, is_mainnet=False), again)
        code, answer = request("POST", self.venue.url + "/exchange", body)
        assert (code, answer["status"]) == (200, "ok"), answer
        [status] = answer["response"]["data"]["statuses"]
        return status

    def held_ntl_max(self) -> Decimal:
        """Return the most that was ever held in one market, at cost."""
        held = [output.position for output in self.outputs(LivePositionChanged)]
        return max(position.cost_ntl for position in held if position is not None)

    def check_books(self) -> None:
        """Our fills are the venue's, each once; our positions are the venue's."""
        ours = [fill.fill.tid for fill in self.outputs(LiveFillApplied)]
        assert len(set(ours)) == len(ours), "a fill was applied twice"
        assert sorted(ours) == sorted(fill["tid"] for fill in self.venue.fills(self.user))


def _is_calm(market: MarketStatusView) -> bool:
    oracle_px, bid_px, ask_px = market.oracle_px, market.bid_px, market.ask_px
    if oracle_px is None or bid_px is None or ask_px is None:
        return False
    return abs(oracle_px * 2 - bid_px - ask_px) <= CALM_RATIO * bid_px * 2


class Trader:
    """A running sidecar that trades for a desk."""

    def __init__(self, desk: Desk, child: Running) -> None:
        self.desk = desk
        self.child = child
        self.venue = desk.venue
        self._lines: list[str] = []
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        # As journald would: a pipe that nobody reads is a fault of its own (F-74).
        assert self.child.process.stderr is not None
        self._lines.extend(self.child.process.stderr)

    def log_text(self) -> str:
        """Return the log of a sidecar that has ended."""
        self.child.process.wait(15)
        self._reader.join(5)
        return "".join(self._lines)

    def log(self) -> list[dict[str, Json]]:
        """Return the log lines of a sidecar that has ended."""
        return [json.loads(line) for line in self.log_text().splitlines() if line.startswith("{")]

    def post(self, path: str, body: Json, method: str = "POST", **headers: str) -> tuple[int, Json]:
        token = (self.desk.root / "w" / "control" / "token").read_text().strip()
        return request(method, self.child.url + path, body, {"Authorization": f"Bearer {token}"} | headers)

    def arm(self) -> None:
        """Approve the phase, allow every market, arm."""
        assert self.post("/v1/phase", {"phase": "micro", "reason": "simulated", "operator": "test"})[0] == 200
        in_force = self.status().rotation_sha256
        now_ns = time.time_ns()
        allowed = [
            RotationMarket(coin=coin, ntl_max=NTL_MAX, rank=rank, score_bps=Decimal(1), reason="test")
            for rank, coin in enumerate(self.desk.coins, 1)
        ]
        doc = RotationDoc(
            version=now_ns // NS_PER_MS, venue="sim", account=self.desk.user, as_of_day="2026-01-01",
            created_ts_ns=now_ns, expires_ts_ns=now_ns + 3_600 * NS_PER_S, code_version="test", config_hash="",
            markets=tuple(allowed), excluded=(),
        )  # fmt: skip
        answer = self.post("/v1/rotation", encode_rotation(doc), "PUT", **{"If-Match": f'"{in_force}"'})
        assert answer[0] == 200, answer
        assert self.post("/v1/arm", {"is_armed": True, "operator": "test"})[0] == 200

    def reset(self) -> None:
        """Take the latch back and arm again."""
        assert self.post("/v1/reset", {"reason": "looked", "operator": "test"})[0] == 200
        assert self.post("/v1/arm", {"is_armed": True, "operator": "test"})[0] == 200

    def status(self) -> StatusView:
        return msgspec.json.decode(self.child.get("/v1/status"), type=StatusView)

    def metric(self, line: str) -> float:
        """Return the value of a metric by its name and labels, 0 if it is not there."""
        found = [text for text in self.child.get("/metrics").splitlines() if text.startswith(line + " ")]
        return float(found[0].rpartition(" ")[2]) if found else 0.0

    def until_trading(self, timeout_s: float = 20) -> None:
        """Wait until an entry would go: nothing but the missing opportunity stands against one."""

        def is_trading() -> bool:
            view = self.status()
            is_open = not view.entries_closed_by and view.trading.is_ready and not view.trading.orders
            return is_open and all(not m.blocking_gates and m.state == "ready" for m in view.markets)

        until(is_trading, timeout_s, "until trading", why=self.told)

    def held(self) -> dict[str, Decimal]:
        """Return our positions."""
        return {position.coin: position.sz for position in self.status().trading.positions}

    def until_held(self, coin: str = ALPHA, timeout_s: float = 15) -> Decimal:
        return until(lambda: self.held().get(coin), timeout_s, f"until {coin} is held", why=self.told)

    def told(self) -> str:
        """Return what explains most of what did not happen."""
        view, desk = self.status(), self.desk
        lines = [f"stopped by {view.stop_reason}, closed by {view.entries_closed_by}, {view.trading}"]
        lines += [f"{m.coin} {m.state} {m.blocking_gates} {m.bid_px} {m.ask_px} {m.oracle_px}" for m in view.markets]
        lines += [f"signal {s.coin} blocked by {s.blocked_by}" for s in desk.outputs(GatesEvaluated)[-10:]]
        lines += [f"{o.coin} {o.reason} {desk.statuses(o.cloid)} {o.text}" for o in desk.our_orders().values()][-3:]
        return "\n".join(lines)

    def until_flat(self, timeout_s: float = 15) -> None:
        def is_flat() -> bool:
            view = self.status().trading
            return not view.positions and not view.orders

        until(is_flat, timeout_s, "until flat", why=self.told)

    def until_stopped(self, reason: str, timeout_s: float = 20) -> str:
        """Wait for the stop latch and return its whole reason."""
        found = until(lambda: self.status().stop_reason, timeout_s, f"until stopped by {reason}", why=self.told)
        assert found.startswith(reason), found
        return found

    def until_calm(self, *coins: str) -> None:
        """Wait until the oracles are back at their books: the next shift is an opportunity again."""

        def is_calm() -> bool:
            found = {market.coin: market for market in self.status().markets}
            return all(_is_calm(found[coin]) for coin in coins or (ALPHA,))

        until(is_calm, what="until calm", why=self.told)

    def enter(self, coin: str = ALPHA) -> int:
        """Open a position by moving the oracle; returns the number of what holds it open."""
        self.until_calm(coin)
        number = self.venue.shift(coin)
        self.until_held(coin)
        until(lambda: not self.status().trading.action_in_flight_count, what="until answered")
        return number
