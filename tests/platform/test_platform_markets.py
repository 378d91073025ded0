"""Work over markets does not show how many threads did it, and stops where it fails."""

import threading
from pathlib import Path

import pytest

from hip3_platform.analytics import gold, gold_evidence, markets
from hip3_platform.bench.day import VENUE, Shape, write_day

COINS = tuple(f"xyz:M{at:02d}" for at in range(12))


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_the_order_of_the_markets(threads: int) -> None:
    barrier = threading.Barrier(min(threads, 2))

    def late_first(coin: str) -> str:
        if coin in COINS[:2] and threads > 1:
            barrier.wait(10)  # two are at work at once
        return coin.lower()

    assert markets.over_markets(late_first, COINS, threads) == [coin.lower() for coin in COINS]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_an_error_the_rest_does_not_begin(error: type[BaseException]) -> None:
    begun = []
    never = threading.Event()

    def work(coin: str) -> None:
        begun.append(coin)
        if coin == COINS[0]:
            raise error
        never.wait(0.5)  # time for the error to travel

    with pytest.raises(error):
        markets.over_markets(work, COINS, 2)
    assert len(begun) < len(COINS)
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("market")] == []


def test_a_day_is_written_the_same_by_one_thread_and_by_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = {}
    for threads in (1, 3):
        root = tmp_path / str(threads)
        write_day(root, "2026-06-15", Shape(4, 80_000, 90_000))
        for module in (gold, gold_evidence):
            monkeypatch.setattr(
                module, "over_markets", lambda work, coins, count=threads: markets.over_markets(work, coins, count)
            )
        gold.write_daily_metrics(root, VENUE, "2026-06-15")
        tables = gold_evidence.write_day_evidence(root, VENUE, "2026-06-15")
        assert tables["policy_fills"].frame.height > 100
        written[threads] = {str(path.relative_to(root)): path.read_bytes() for path in root.glob("gold/**/*.*")}
    assert written[1] == written[3]
    assert len(written[1]) == 7
