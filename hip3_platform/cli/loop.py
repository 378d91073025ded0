"""The stages of `hip3 up`, in order, with what each must show before the next may begin."""

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from types import FrameType

import httpx

from hip3_platform.cli.account import Hip3, sim_account
from hip3_platform.cli.audit import Audit, VenueAccount, audit, sealed_books
from hip3_platform.cli.children import Child, Children
from hip3_platform.cli.dagster_dev import dagster_words, hold_dagster_home, is_occupied, prepare_dagster_home
from hip3_platform.cli.findings import Findings, history_window, newest_rotation, ranking_lines
from hip3_platform.cli.plan import Plan, StageFailed
from hip3_platform.cli.report import report_json
from hip3_platform.cli.trading import REASON, await_trades, begin_trading, pause_trading, resume_trading
from hip3_platform.cli.truth import Judged, judge
from streaming.core.errors import Hip3Error

POLL_S = 0.5
EXIT_STORE = 4
EXIT_OCCUPIED = 6
PUSH_PATIENCE_S = 60.0
"""How long the sensor may take to push a finished document; after that the sidecar has refused it."""
RUNS_QUERY = """query Runs($since: Float!) { runsOrError(limit: 50, filter: {createdAfter: $since}) {
  ... on Runs { results { status jobName tags { key value } } } } }"""
ENDED = ("SUCCESS", "FAILURE", "CANCELED")
END_S = 20.0
"""How long the sidecar may take to flatten, close its journal and seal the last rows."""
HIP3 = (sys.executable, "-m", "streaming.cli")
HISTORY_SCENARIO = "demo"
TRUTH_DAYS = 20
"""Days of brute force a market: enough to tell a good policy of the history from a bad one."""
DRILL_NOTE = """the live markets are the scenario `drill`: oracles jump every few seconds and quotes follow late, to
  make orders; no real market is like that, and what is earned there means nothing"""


class Stopped(Hip3Error):
    """A signal asked us to end."""


@dataclass
class Loop:
    """One run of `hip3 up`."""

    plan: Plan
    begun: float = field(default_factory=time.monotonic)
    begun_ts_s: float = field(default_factory=lambda: time.time_ns() / 1e9)
    seconds: dict[str, float] = field(default_factory=dict)
    account: str = ""
    """Address the sidecar trades for."""
    sidecar: Child | None = None
    history: tuple[str, str] = ("", "")
    """First and last day of the simulated history."""

    def run(self) -> int:
        """Start, watch, report and end everything; return the exit code."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _raise_stopped)
        if occupied := self._occupied_ports():
            for port, flag in occupied:
                _say(f"port {port} is occupied: end what listens there, or choose another with {flag}")
            return EXIT_OCCUPIED
        children = Children(self.plan.warehouse / "logs", mark=f"{os.getpid()}-{time.monotonic_ns()}")
        if trouble := _unwritable(self.plan.warehouse, children.logs, self.plan.dagster_home):
            _say(trouble)
            return EXIT_STORE
        home = self.plan.dagster_home
        with ExitStack() as files:
            if (held := hold_dagster_home(home)) is None:
                _say(f"{home} is in use by another Dagster: end that one, or choose another home with --dagster-home")
                return EXIT_OCCUPIED
            files.callback(os.close, held)
            code, left = self._run(children, files)
        if left:
            _say(f"processes left: {left}")
            return 1
        _say("everything that was started has ended")
        return code

    def _run(self, children: Children, files: ExitStack) -> tuple[int, list[int]]:
        """Return the exit code and the ids of processes that could not be ended."""
        code = 1
        try:
            self._report(*self._stages(children, files))
            code = 0
            if not self.plan.is_once:
                self._stay(children)
        except StageFailed as failed:
            _say(f"failed: {failed}")
            code = 1
        except Stopped:
            _say("stopping")
            code = code if not self.plan.is_once else 130
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not leave children behind
            left = self._end(children)
        return code, left

    def _end(self, children: Children) -> list[int]:
        # The sidecar first: it needs the venue to close what it holds.
        if self.sidecar is not None and self.sidecar.process.poll() is None:
            ended = children.end(self.sidecar, END_S)
            if ended:
                _say(f"the sidecar ended with exit code {ended}; see {self.sidecar.log}")
        return children.end_all()

    def _occupied_ports(self) -> list[tuple[int, str]]:
        wanted = [
            (self.plan.venue_port, "--venue-port"),
            (self.plan.control_port, "--control-port"),
            (self.plan.dagster_port, "--dagster-port"),
        ]
        return [(port, flag) for port, flag in wanted if is_occupied(port)]

    def _stages(self, children: Children, files: ExitStack) -> tuple[Findings, tuple[Judged, ...], Audit | None]:
        plan = self.plan
        if aside := prepare_dagster_home(plan.root, plan.dagster_home, plan.warehouse):
            _say(f"the warehouse is new: Dagster's memory of an older one was put aside in {aside}")

        def start(name: str, *words: str, is_task: bool = False) -> Child:
            _say(f"starting {name}")
            return children.start(name, words, env=plan.environment(self.account), cwd=plan.root, is_task=is_task)

        def hip3(name: str, words: Sequence[str]) -> bytes:
            return children.call(name, (*HIP3, *words), env=plan.environment(self.account), cwd=plan.root)

        venue = start(
            "venue", *HIP3, "venue", "--port", str(plan.venue_port), "--seed", str(plan.seed),
            "--scenario", plan.scenario,
        )  # fmt: skip
        self._await("venue", venue, lambda: _answers(f"{plan.venue_url}/info", {"type": "perpDexs"}))
        if plan.scenario == "drill":
            _say(DRILL_NOTE)
        made = files.enter_context(sim_account(plan, hip3))
        self.account = made.address
        _say(f"keys: simulated account {made.address} approved agent {made.agent}; both keys end with this run")
        self.sidecar = sidecar = start("sidecar", *HIP3, "run", "--config", str(made.config_file))
        self._await("sidecar", sidecar, lambda: _answers(f"{plan.control_url}/readyz"))
        _say(f"live: {plan.control_url}/   metrics: {plan.control_url}/metrics")
        opening_usd = VenueAccount.read(plan.venue_url, self.account).value_usd
        last_day = self._write_history(start)
        dagster = start("dagster", *dagster_words(plan.root, plan.dagster_port))
        self._await("dagster", dagster, lambda: _answers(f"{plan.dagster_url}/server_info"))
        _say(f"Dagster: {plan.dagster_url}/")
        findings = self._await_rotation(children, last_day)
        for line in ranking_lines(findings):
            _say(line)
        judged = self._truth(children)
        if not plan.trade_count:
            return findings, judged, None
        return findings, judged, self._trade(children, sidecar, hip3, opening_usd)

    def _trade(self, children: Children, sidecar: Child, hip3: Hip3, opening_usd: Decimal) -> Audit:
        """Trade until there are enough trades, come to rest, and prove our books against the venue's."""
        plan, begun = self.plan, time.monotonic()

        def watch() -> None:
            _refuse_dead(children)

        begin_trading(plan, hip3)
        _say(f"phase micro approved ({REASON}) and armed; waiting for {plan.trade_count} fills of our signed orders")
        session_id = await_trades(plan, _say, watch).status.session_id
        self._done("trades", begun)
        begun = time.monotonic()
        if plan.is_once:
            _say("SIGTERM to the sidecar: it flattens and ends")
            if code := children.end(sidecar, END_S):
                raise StageFailed(f"the sidecar ended with exit code {code}\n{sidecar.last_lines()}")
            if sidecar.process.returncode is None:
                raise StageFailed(f"the sidecar did not end within {END_S:.0f} s\n{sidecar.last_lines()}")
        else:
            _say("disarmed for the audit: waiting until flat and sealed")
            pause_trading(plan, hip3, watch)
        venue = VenueAccount.read(plan.venue_url, self.account)
        found = audit(sealed_books(plan.warehouse, session_id, venue, watch), venue, opening_usd)
        _say(found.text)
        if found.failures:
            raise StageFailed("audit: " + "; ".join(found.failures))
        self._replay(children, session_id)
        self._done("audit", begun)
        if not plan.is_once:
            resume_trading(plan, hip3, _say)
        return found

    def _replay(self, children: Children, session_id: str) -> None:
        """Decide the session's recorded inputs again; raises StageFailed at a difference."""
        words = (*HIP3, "replay", "--session", session_id, "--venue", "sim", "--warehouse", str(self.plan.warehouse))
        env = self.plan.environment(self.account)
        child = children.start("replay", words, env=env, cwd=self.plan.root, is_task=True)
        if code := child.process.wait():
            raise StageFailed(
                f"replay of {session_id} ended with exit code {code}; see {child.log}\n{child.last_lines(2)}"
            )
        _say(f"replay of {session_id}: no difference")

    def _write_history(self, start: Callable[..., Child]) -> str:
        """Write the days of history that are not there yet and return the last of them."""
        plan, begun = self.plan, time.monotonic()
        window = history_window(plan.warehouse, "sim", plan.days, now_ts_ns=time.time_ns())
        for first, last, way in window.histories:
            child = start(
                "history", *HIP3, "history", "--from", first, "--to", last, *way,
                "--seed", str(plan.seed), "--warehouse", str(plan.warehouse), "--json", is_task=True,
            )  # fmt: skip
            if code := child.process.wait():
                raise StageFailed(f"writing history ended with exit code {code}\n{child.last_lines()}")
        self._done("history", begun)
        self.history = (window.first, window.last)
        return window.last

    def _truth(self, children: Children) -> tuple[Judged, ...]:
        """Compute what the history really pays, and compare it with what was approved."""
        plan, begun = self.plan, time.monotonic()
        first, last = self.history
        out = plan.warehouse / "truth.json"
        words = (
            *HIP3, "venue", "truth", "--scenario", HISTORY_SCENARIO, "--seed", str(plan.seed), "--from", first,
            "--window", str(plan.days), "--days", str(TRUTH_DAYS), "--hours", "tradable", "--out", str(out),
        )  # fmt: skip
        child = children.start("truth", words, env=plan.environment(), cwd=plan.root, is_task=True)
        if code := child.process.wait():
            raise StageFailed(f"computing the truth ended with exit code {code}\n{child.last_lines()}")
        found = judge(plan.warehouse, "sim", last, out)
        _say(f"what the evidence said of the history, and what is true there ({TRUTH_DAYS} other days, brute force):")
        for each in found:
            _say(each.line)
        self._done("truth", begun)
        return found

    def _await(self, stage: str, child: Child, is_there: Callable[[], bool], patience_s: float = 120.0) -> None:
        begun = time.monotonic()
        while not is_there():
            if child.process.poll() is not None:
                raise StageFailed(f"{stage} ended with exit code {child.process.returncode}\n{child.last_lines()}")
            if time.monotonic() - begun > patience_s:
                raise StageFailed(
                    f"{stage} was not ready after {patience_s:.0f} s; see {child.log}\n{child.last_lines()}"
                )
            time.sleep(POLL_S)
        self._done(stage, begun)

    def _await_rotation(self, children: Children, last_day: str) -> Findings:
        """Wait until closed days are judged and the sidecar holds the newest document, which knows `last_day`."""
        begun, said, finished = time.monotonic(), "", 0.0
        while time.monotonic() - begun < self.plan.timeout_s:
            _refuse_dead(children)
            runs = self._runs()
            if failed := [run for run in runs or [] if run.endswith("FAILURE")]:
                raise StageFailed(f"a Dagster run failed ({', '.join(failed)}); open {self.plan.dagster_url}/runs")
            found = newest_rotation(self.plan.warehouse, "sim")
            is_judged = found is not None and found[0].as_of_day >= last_day and found[0].account == self.account
            # Today's figures may be under way: they feed no rotation.
            if found and is_judged and runs is not None and all(r.endswith(ENDED) for r in runs if r[:10] <= last_day):
                if self._sidecar_holds(found[1]):
                    self._done("judged_and_rotated", begun)
                    return Findings.of(self.plan.warehouse, found[0], found[1])
                finished = finished or time.monotonic()
                if time.monotonic() - finished > PUSH_PATIENCE_S:
                    where = f"{self.plan.dagster_url}/assets/sidecar/rotation?view=checks"
                    raise StageFailed(f"the sidecar does not take rotation {found[0].version}; its reasons: {where}")
            text = _progress(runs, None if found is None else found[0].version)
            if text != said:
                _say(text)
                said = text
            time.sleep(POLL_S)
        raise StageFailed(f"no rotation was accepted within {self.plan.timeout_s:.0f} s; last seen: {said}")

    def _runs(self) -> list[str] | None:
        """Return the runs of this start as "day STATUS"; None while Dagster does not say."""
        # What an earlier start left failed or interrupted is not ours to report.
        query = {"query": RUNS_QUERY, "variables": {"since": self.begun_ts_s}}
        try:
            answer = httpx.post(f"{self.plan.dagster_url}/graphql", json=query, timeout=10).json()
        except httpx.HTTPError:
            return None  # the webserver is busy; the next poll asks again
        results = ((answer.get("data") or {}).get("runsOrError") or {}).get("results")
        if results is None:
            return None
        texts = []
        for item in results:
            tags = {tag["key"]: tag["value"] for tag in item["tags"]}
            texts.append(f"{tags.get('dagster/partition', item['jobName'])} {item['status']}")
        return sorted(texts)

    def _sidecar_holds(self, sha256: str) -> bool:
        try:
            answer = httpx.get(f"{self.plan.control_url}/v1/rotation", timeout=5).json()
        except httpx.HTTPError:
            return False
        return bool(answer["is_accepted"] and answer["sha256"] == sha256)

    def _report(self, findings: Findings, judged: tuple[Judged, ...], found: Audit | None) -> None:
        self.seconds["total"] = round(time.monotonic() - self.begun, 1)
        if not self.plan.is_once:
            _say(f"open  {self.plan.control_url}/        the live page")
            _say(f"open  {self.plan.dagster_url}/assets  days, checks, plots, the rotation")
        if self.plan.is_json:
            print(report_json(findings, judged, found, self.seconds), flush=True)

    def _stay(self, children: Children) -> None:
        _say("running; Ctrl-C ends everything")
        while True:
            _refuse_dead(children)
            time.sleep(POLL_S)

    def _done(self, stage: str, begun: float) -> None:
        self.seconds[stage] = round(time.monotonic() - begun, 1)
        _say(f"{stage}: {self.seconds[stage]} s")


def _refuse_dead(children: Children) -> None:
    """Raise StageFailed if a service has ended although nobody asked it to."""
    if dead := children.dead():
        raise StageFailed(f"{dead.name} ended with exit code {dead.process.returncode}\n{dead.last_lines()}")


def _progress(runs: list[str] | None, version: int | None) -> str:
    return f"runs: {', '.join(runs or []) or 'none yet'}; rotation document: {version or 'none yet'}"


def _unwritable(*folders: Path) -> str:
    """Return what stands against writing into these folders, empty if nothing does; they are made if missing."""
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as probe:
                probe.write(b"hip3")
        except OSError as error:
            return f"expected a writable folder, found {folder}: {error.strerror}; choose another one"
    return ""


def _raise_stopped(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a handler
    raise Stopped(signal.Signals(number).name)


def _answers(url: str, body: dict[str, str] | None = None) -> bool:
    try:
        answer = httpx.get(url, timeout=5) if body is None else httpx.post(url, json=body, timeout=5)
    except httpx.HTTPError:
        return False
    return answer.status_code == httpx.codes.OK


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
