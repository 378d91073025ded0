"""`hip3 evidence score`: draws universes, runs the path blind, and scores it.

Rule 1: same universes, seed and scenario, same figures: only `seconds` differ, by however many processes.
Rule 2: truth is computed before universes are drawn; what of it is kept in a folder and still fits is not computed
again. `seconds` are of everything this run did, `truth_seconds` of the truth in it.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from hip3_platform.analytics.store import write_bytes
from hip3_platform.scoring.bars import bars_of
from hip3_platform.scoring.brought import TablesTask, days_of, folder_name, truth_in, universes_in
from hip3_platform.scoring.figures import Truths, figures
from hip3_platform.scoring.plans import WINDOW_DAYS, Draw, Plan, coins_of, draws_of, scenario_of
from hip3_platform.scoring.truth import TRUTH_DAYS, Sheet, SheetFile, Truth, is_listed_after
from hip3_platform.scoring.universe import LATENCY_MS, VENUE, Found, UniverseTask
from hip3_platform.scoring.workers import TruthTask, Workers
from streaming.core.errors import StoreError
from streaming.sim.markets.truth_days import Job, fingerprint


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be scored."""

    universes: int
    seed: int
    scenario: str = "universe"
    truth_days: int = TRUTH_DAYS
    workers: int = 2
    keep: str = ""
    """Folder of truths; empty keeps none."""


class Shown(Protocol):
    """Receives progress."""

    def stage(self, text: str, total: int) -> None:
        """Take over that another stage begins, of `total` market-days at most."""

    def on_day(self) -> None:
        """Take over that another market-day is done."""


def score(request: Request, shown: Shown) -> dict[str, Any]:
    """Score the evidence path on drawn universes; keys as in docs/evidence.md.

    Raises:
        ConfigError: No such scenario.
        StoreError: A worker died, or a truth can not be kept.
    """
    begun = time.perf_counter()
    draws = draws_of(request.scenario, request.seed, request.universes)
    plans = list(dict.fromkeys(draw.plan for draw in draws))
    for plan in plans:
        scenario_of(plan)
    with Workers(request.workers) as workers:
        truths = _truths(request, plans, workers, shown)
        truth_seconds = time.perf_counter() - begun
        founds = _universes(draws, truths, workers, shown)
    plain = [at for at, draw in enumerate(draws) if not draw.plan.is_heavy]
    heavy = [at for at, draw in enumerate(draws) if draw.plan.is_heavy]
    main, beside = (
        figures([founds[at] for at in part], [truths[draws[at].plan] for at in part]) for part in (plain, heavy)
    )
    of_run = {
        "scenario": request.scenario,
        "seed": request.seed,
        "days": WINDOW_DAYS,
        "truth_days": request.truth_days,
    }
    return _scored(of_run, main, begun, {"heavy": beside, "truth_seconds": round(truth_seconds, 1)})


def score_tables(folder: Path, workers_count: int, shown: Shown) -> dict[str, Any]:
    """Score the evidence path on universes that were brought as tables; keys as of `score`, without `heavy`.

    Raises:
        ConfigError: The folder is not as docs/evidence.md says.
        StoreError: A worker died.
    """
    begun = time.perf_counter()
    folders = universes_in(folder)
    files = [truth_in(each) for each in folders]
    truths = [{market.coin: Truth.of_file(market) for market in file.markets} for file in files]
    tasks = [
        TablesTask(
            folder=str(each),
            days=days_of(file),
            coins=tuple(of_universe),
            shifts_bps=_shifts(of_universe),
            hours=file.hours,
        )
        for each, file, of_universe in zip(folders, files, truths, strict=True)
    ]
    shown.stage("tables", sum(len(task.days) * len(task.coins) for task in tasks))
    with Workers(min(workers_count, len(tasks))) as workers:
        founds = _founds(tasks, workers, shown)
    of_run = {"tables": [folder_name(each) for each in folders], "truth_days": min(file.days for file in files)}
    return _scored(of_run, figures(founds, truths), begun, {})


def _scored(of_run: dict[str, Any], main: dict[str, Any], begun: float, rest: dict[str, Any]) -> dict[str, Any]:
    bars = bars_of(main)
    return {
        "venue": VENUE,
        "latency_ms": LATENCY_MS,
        **of_run,
        **main,
        **rest,
        "bars": bars,
        "problems": [bar["text"] for bar in bars if not bar["reached"]],
        "seconds": round(time.perf_counter() - begun, 1),
    }


def _truths(request: Request, plans: Sequence[Plan], workers: Workers, shown: Shown) -> dict[Plan, Truths]:
    known = {plan: _kept(request, plan) for plan in plans}
    tasks = [
        TruthTask(plan=plan, coin=coin, days=request.truth_days)
        for plan in plans
        if known[plan] is None
        for coin in coins_of(plan)
    ]
    if tasks:
        shown.stage("truth", len(tasks) * request.truth_days)
    sheets = {at: sheet for at, sheet in workers.results(tasks, shown.on_day) if isinstance(sheet, Sheet)}
    for plan in plans:
        if known[plan] is None:
            known[plan] = [sheets[at] for at, task in enumerate(tasks) if task.plan == plan]
            _keep(request, plan, known[plan] or [])
    return {
        plan: {sheet.coin: Truth.of(sheet, is_listed=is_listed_after(plan, sheet.coin)) for sheet in known[plan] or []}
        for plan in plans
    }


def _universes(draws: Sequence[Draw], truths: dict[Plan, Truths], workers: Workers, shown: Shown) -> list[Found]:
    shifts = {plan: _shifts(of_plan) for plan, of_plan in truths.items()}
    shown.stage("universes", sum(len(coins_of(draw.plan)) for draw in draws) * WINDOW_DAYS)
    return _founds([UniverseTask(draw=draw, shifts_bps=shifts[draw.plan]) for draw in draws], workers, shown)


def _founds(tasks: Sequence[UniverseTask | TablesTask], workers: Workers, shown: Shown) -> list[Found]:
    founds = {at: found for at, found in workers.results(tasks, shown.on_day) if isinstance(found, Found)}
    return [founds[at] for at in range(len(tasks))]


def _shifts(truths: Truths) -> dict[str, float | None]:
    return {coin: truth.shift_bps(LATENCY_MS) for coin, truth in truths.items()}


def _path(request: Request, plan: Plan) -> Path | None:
    if not request.keep:
        return None
    kind = "-heavy" if plan.is_heavy else ""
    return Path(request.keep) / f"{scenario_of(plan).name}-s{plan.seed}-{request.truth_days}-test-days{kind}.json"


def _fingerprint(plan: Plan) -> str:
    job = Job(scenario=plan.scenario, seed=plan.seed, first_day=plan.days[0], window_days=WINDOW_DAYS, days=1)
    return fingerprint(job, scenario_of(plan))


def _kept(request: Request, plan: Plan) -> list[Sheet] | None:
    """Return the truth of a plan that is kept, if it is of the same markets, days and generator."""
    path = _path(request, plan)
    if path is None or not path.is_file():
        return None
    try:
        found = msgspec.json.decode(path.read_bytes(), type=SheetFile)
    except (OSError, msgspec.DecodeError) as error:
        raise StoreError(f"{path}: expected a kept truth, found {error}; remove the file") from error
    asked = (plan, plan.days, request.truth_days, _fingerprint(plan))
    held = (found.plan, found.days, found.truth_days, found.fingerprint)
    return found.sheets if held == asked else None


def _keep(request: Request, plan: Plan, sheets: list[Sheet]) -> None:
    path = _path(request, plan)
    if path is None:
        return
    kept = SheetFile(
        plan=plan,
        days=plan.days,
        truth_days=request.truth_days,
        fingerprint=_fingerprint(plan),
        sheets=sheets,
    )
    try:
        write_bytes(path, msgspec.json.encode(kept))
    except OSError as error:
        raise StoreError(f"--keep {request.keep}: {error.strerror}") from error
