"""Truth by some processes at a time.

Rule 1: one market is worked through by one process, so the result does not depend on how many there are.
Rule 2: a worker reports in JSON lines on its stdout. It takes no Ctrl-C itself: the parent terminates it, and should
the parent be killed, the next line finds no reader and ends the worker.
"""

import selectors
import signal
import subprocess
import sys
from typing import IO, Self

import msgspec

from streaming.core.errors import Hip3Error, StoreError
from streaming.sim.markets.truth import MarketTruth, TruthFile
from streaming.sim.markets.truth_days import Job, OnDay, coins_of, fingerprint, market_truth
from streaming.sim.scenario.load import load_scenario

_END_S = 5.0


class _DayDone(msgspec.Struct, frozen=True, tag=True):
    coin: str


class _MarketDone(msgspec.Struct, frozen=True, tag=True):
    market: MarketTruth


class _Failed(msgspec.Struct, frozen=True, tag=True):
    reason: str


_Line = _DayDone | _MarketDone | _Failed
_decode_line = msgspec.json.Decoder(_Line).decode


def find_truth(job: Job, *, workers: int, on_day: OnDay) -> TruthFile:
    """Simulate a job with up to `workers` processes.

    Raises:
        ConfigError: No such scenario.
        StoreError: A worker died.
    """
    scenario = load_scenario(job.scenario, seed=job.seed)
    coins = coins_of(job, scenario)
    with _Workers(on_day) as running:
        for place in range(min(workers, len(coins))):
            running.start(msgspec.structs.replace(job, coins=coins[place::workers]))
        found = {market.coin: market for market in running.wait()}
    return TruthFile(
        scenario=scenario.name,
        seed=job.seed,
        first_day=job.first_day,
        window_days=job.window_days,
        days=job.days,
        hours=job.hours,
        fingerprint=fingerprint(job, scenario),
        markets=[found[coin] for coin in coins],
    )


class _Workers:
    """The processes at work; leaving the context ends those that are left."""

    def __init__(self, on_day: OnDay) -> None:
        self._on_day = on_day
        self._running: dict[IO[bytes], subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc_info: object) -> None:
        for process in self._running.values():
            process.terminate()
        for stream, process in self._running.items():
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            stream.close()

    def start(self, job: Job) -> None:
        command = [sys.executable, "-m", "streaming.sim.markets.truth_workers", msgspec.json.encode(job).decode()]
        # Unbuffered: a line that waited in a buffer of ours would not wake the selector.
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, bufsize=0)  # noqa: S603 - our own module
        if process.stdout is None:
            raise StoreError("the worker has no stdout")
        self._running[process.stdout] = process

    def wait(self) -> list[MarketTruth]:
        """Wait until all have finished; markets in no order."""
        found = []
        with selectors.DefaultSelector() as selector:
            for stream in self._running:
                selector.register(stream, selectors.EVENT_READ)
            while selector.get_map():
                for key, _ in selector.select():
                    stream = next(stream for stream in self._running if stream is key.fileobj)
                    raw = stream.readline()
                    if raw.endswith(b"\n"):
                        found += self._take(_decode_line(raw))
                        continue
                    selector.unregister(stream)
                    code = self._running[stream].wait()
                    if code:
                        raise StoreError(f"expected the worker to finish, found it ended with code {code}")
        return found

    def _take(self, line: _Line) -> list[MarketTruth]:
        if isinstance(line, _Failed):
            raise StoreError(line.reason)
        if isinstance(line, _MarketDone):
            return [line.market]
        self._on_day(line.coin)
        return []


def _work(job: Job) -> None:
    """Work through the markets of a job and report; runs in a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        scenario = load_scenario(job.scenario, seed=job.seed)
        for coin in job.coins:
            _report(_MarketDone(market_truth(job, scenario, coin, lambda coin: _report(_DayDone(coin)))))
    except BrokenPipeError:
        sys.exit(1)  # nobody reads any more
    except Hip3Error as error:
        _report(_Failed(str(error)))


def _report(line: _Line) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    _work(msgspec.json.decode(sys.argv[1], type=Job))
