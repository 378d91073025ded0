"""The stages of `hip3 up`, in order, with what each must show before the next may begin."""

import argparse
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from types import FrameType

import httpx
import msgspec

from hip3_platform.cli.children import Child, Children
from hip3_platform.cli.findings import Findings, history_window, newest_rotation, ranking_lines
from streaming.core.errors import ConfigError, Hip3Error

POLL_S = 0.5
EXIT_STORE = 4
EXIT_OCCUPIED = 6
PUSH_PATIENCE_S = 60.0
"""How long the sensor may take to push a finished document; after that the sidecar has refused it."""
RUNS_QUERY = """query Runs($since: Float!) { runsOrError(limit: 50, filter: {createdAfter: $since}) {
  ... on Runs { results { status jobName tags { key value } } } } }"""
SETTINGS = "dagster.yaml"
ASIDE = "aside-"
ENDED = ("SUCCESS", "FAILURE", "CANCELED")


class StageFailed(Hip3Error):
    """A stage did not show what it must; the message ends with the child's last lines."""


class Stopped(Hip3Error):
    """A signal asked us to end."""


@dataclass(frozen=True)
class Plan:
    """What to start and where."""

    root: Path
    warehouse: Path
    dagster_home: Path
    days: int
    seed: int
    venue_port: int
    control_port: int
    dagster_port: int
    timeout_s: float
    is_once: bool
    is_json: bool

    @staticmethod
    def of(args: argparse.Namespace) -> "Plan":
        """Resolve paths; raises ConfigError where the checkout can not be found."""
        root = _find_root(Path(args.root) if args.root else Path.cwd())
        warehouse = Path(args.warehouse).resolve() if args.warehouse else root / "warehouse"
        if args.days < 1:
            raise ConfigError(f"--days: expected 1 or more, found {args.days}")
        home = Path(args.dagster_home).resolve() if args.dagster_home else root / "dagster_home"
        return Plan(
            root, warehouse, home, args.days, args.seed, args.venue_port, args.control_port, args.dagster_port,
            args.timeout_s, args.once, args.json,
        )  # fmt: skip

    @property
    def control_url(self) -> str:
        """Base address of the sidecar's control API and live page."""
        return f"http://127.0.0.1:{self.control_port}"

    @property
    def dagster_url(self) -> str:
        """Address of the Dagster UI."""
        return f"http://127.0.0.1:{self.dagster_port}"

    def environment(self) -> dict[str, str]:
        """Environment of every child."""
        return {
            **os.environ,
            "DAGSTER_HOME": str(self.dagster_home),
            "HIP3_WAREHOUSE": str(self.warehouse),
            "HIP3_VENUE": "sim",
            "PYTHONUNBUFFERED": "1",
        }


def _find_root(start: Path) -> Path:
    for folder in (start.resolve(), *start.resolve().parents):
        if (folder / "workspace.yaml").is_file() and (folder / "dagster_home" / "dagster.yaml").is_file():
            return folder
    raise ConfigError(
        f"expected a checkout of hip3 (workspace.yaml and dagster_home/dagster.yaml) at or above {start}; found none; "
        "run it there, or name it with --root"
    )


@dataclass
class Loop:
    """One run of `hip3 up`."""

    plan: Plan
    begun: float = field(default_factory=time.monotonic)
    begun_ts_s: float = field(default_factory=lambda: time.time_ns() / 1e9)
    seconds: dict[str, float] = field(default_factory=dict)

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
        code = 1
        try:
            findings = self._stages(children)
            self._report(findings)
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
            left = children.end_all()
        if left:
            _say(f"processes left: {left}")
            return 1
        _say("everything that was started has ended")
        return code

    def _occupied_ports(self) -> list[tuple[int, str]]:
        wanted = [
            (self.plan.venue_port, "--venue-port"),
            (self.plan.control_port, "--control-port"),
            (self.plan.dagster_port, "--dagster-port"),
        ]
        return [(port, flag) for port, flag in wanted if _is_occupied(port)]

    def _stages(self, children: Children) -> Findings:
        plan, env = self.plan, self.plan.environment()
        if aside := prepare_dagster_home(plan.root, plan.dagster_home, plan.warehouse):
            _say(f"the warehouse is new: Dagster's memory of an older one was put aside in {aside}")
        hip3 = [sys.executable, "-m", "streaming.cli"]

        def start(name: str, *words: str, is_task: bool = False) -> Child:
            _say(f"starting {name}")
            return children.start(name, words, env=env, cwd=plan.root, is_task=is_task)

        venue = start("venue", *hip3, "venue", "--port", str(plan.venue_port), "--seed", str(plan.seed))
        self._await("venue", venue, lambda: _answers(f"http://127.0.0.1:{plan.venue_port}/info", {"type": "perpDexs"}))
        sidecar = start(
            "sidecar", *hip3, "run", "--venue", "sim", "--sim-port", str(plan.venue_port),
            "--control-port", str(plan.control_port), "--warehouse", str(plan.warehouse),
        )  # fmt: skip
        self._await("sidecar", sidecar, lambda: _answers(f"{plan.control_url}/readyz"))
        _say(f"live: {plan.control_url}/   metrics: {plan.control_url}/metrics")
        last_day = self._write_history(start)
        dagster = start(
            "dagster", sys.executable, "-m", "dagster", "dev", "--workspace", str(plan.root / "workspace.yaml"),
            "--host", "127.0.0.1", "--port", str(plan.dagster_port), "--log-level", "warning",
        )  # fmt: skip
        self._await("dagster", dagster, lambda: _answers(f"{plan.dagster_url}/server_info"))
        _say(f"Dagster: {plan.dagster_url}/")
        return self._await_rotation(children, last_day)

    def _write_history(self, start: Callable[..., Child]) -> str:
        """Write the days of history that are not there yet and return the last of them."""
        plan, begun = self.plan, time.monotonic()
        first, last = history_window(plan.warehouse, "sim", plan.days, now_ts_ns=time.time_ns())
        child = start(
            "history", sys.executable, "-m", "streaming.cli", "history", "--from", first, "--to", last,
            "--seed", str(plan.seed), "--warehouse", str(plan.warehouse), "--json", is_task=True,
        )  # fmt: skip
        if child.process.wait() != 0:
            raise StageFailed(f"writing history ended with exit code {child.process.returncode}\n{child.last_lines()}")
        self._done("history", begun)
        return last

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
        """Wait until every run has ended and the sidecar holds the newest document, which knows `last_day`."""
        begun, said, finished = time.monotonic(), "", 0.0
        while time.monotonic() - begun < self.plan.timeout_s:
            if dead := children.dead():
                raise StageFailed(f"{dead.name} ended with exit code {dead.process.returncode}\n{dead.last_lines()}")
            runs = self._runs()
            if failed := [run for run in runs or [] if run.endswith("FAILURE")]:
                raise StageFailed(f"a Dagster run failed ({', '.join(failed)}); open {self.plan.dagster_url}/runs")
            found = newest_rotation(self.plan.warehouse, "sim")
            if found and found[0].as_of_day >= last_day and runs is not None and all(r.endswith(ENDED) for r in runs):
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

    def _report(self, findings: Findings) -> None:
        self.seconds["total"] = round(time.monotonic() - self.begun, 1)
        for line in ranking_lines(findings):
            _say(line)
        _say(f"open  {self.plan.control_url}/        the live page")
        _say(f"open  {self.plan.dagster_url}/assets  days, checks, plots, the rotation")
        if not self.plan.is_json:
            return
        out = {
            "versions": {name: version(name) for name in ("hip3", "dagster", "polars", "pyarrow", "duckdb")},
            "venue": "sim",
            "days": findings.days,
            "events": findings.event_count,
            "markets_ranked": findings.ranked_count,
            "rotation_accepted": self._sidecar_holds(findings.sha256),
            "rotation": {"version": findings.doc.version, "markets": [m.coin for m in findings.doc.markets]},
            "seconds": self.seconds,
        }
        print(msgspec.json.encode(out).decode(), flush=True)

    def _stay(self, children: Children) -> None:
        _say("running; Ctrl-C ends everything")
        while True:
            if dead := children.dead():
                raise StageFailed(f"{dead.name} ended with exit code {dead.process.returncode}\n{dead.last_lines()}")
            time.sleep(POLL_S)

    def _done(self, stage: str, begun: float) -> None:
        self.seconds[stage] = round(time.monotonic() - begun, 1)
        _say(f"{stage}: {self.seconds[stage]} s")


def prepare_dagster_home(root: Path, home: Path, warehouse: Path) -> Path | None:
    """Give `home` its settings; with a new warehouse put aside what Dagster remembers, and return where.

    Runs are keyed by the content of a day. A warehouse that was deleted and written again has equal content, so Dagster
    would drop its runs as done. Nothing but Dagster's own pages depends on that memory (F-102).
    """
    home.mkdir(parents=True, exist_ok=True)
    settings = home / SETTINGS
    if not settings.exists():
        shutil.copyfile(root / "dagster_home" / SETTINGS, settings)
    remembered = [entry for entry in home.iterdir() if entry.name != SETTINGS and not entry.name.startswith(ASIDE)]
    if (warehouse / "manifest").exists() or not remembered:
        return None
    aside = home / f"{ASIDE}{time.time_ns()}"
    aside.mkdir()
    for entry in remembered:
        entry.rename(aside / entry.name)
    return aside


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


def _is_occupied(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _answers(url: str, body: dict[str, str] | None = None) -> bool:
    try:
        answer = httpx.get(url, timeout=5) if body is None else httpx.post(url, json=body, timeout=5)
    except httpx.HTTPError:
        return False
    return answer.status_code == httpx.codes.OK


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
