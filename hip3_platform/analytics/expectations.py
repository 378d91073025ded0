"""The Great Expectations suites over the profiles of a day, with Data Docs.

Great Expectations takes seconds and hundreds of megabytes to import, so it is imported by `_load` only, when a
profile is judged; a test holds that neither it nor pandas comes with the code location. What is expected stands in
`suites`; all suites of a step share one context and one data source.
"""

import importlib
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hip3_platform.analytics.finding import Finding
from hip3_platform.analytics.suites import SUITES, Rule

COIN_LENGTH_MAX = 64
Profile = Sequence[dict[str, Any]]
"""One record a market: `coin` and every column that a rule names."""


@dataclass(frozen=True, slots=True)
class Validation:
    """What a suite said."""

    expectation_count: int
    findings: tuple[Finding, ...]
    docs: Path
    """Entry page of the Data Docs."""


def _load(module: str) -> Any:  # noqa: ANN401 - Great Expectations does not export the types of its public names
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # must stand before its first import
    return importlib.import_module(module)


def _expectations(rules: Iterable[Rule]) -> list[Any]:
    gxe = _load("great_expectations.expectations")
    found = [
        gxe.ExpectColumnValuesToBeUnique(column="coin"),
        gxe.ExpectColumnValueLengthsToBeBetween(column="coin", min_value=1, max_value=COIN_LENGTH_MAX),
    ]
    for rule in rules:
        severity = "critical" if rule.is_blocking else "warning"
        found.append(
            gxe.ExpectColumnValuesToBeBetween(
                column=rule.column, min_value=rule.low, max_value=rule.high, severity=severity
            )
        )
    return found


def _context(folder: Path) -> Any:  # noqa: ANN401 - see _load
    folder.mkdir(parents=True, exist_ok=True)
    context = _load("great_expectations").get_context(mode="file", project_root_dir=folder)
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    return context


def validate_profiles(profiles: Mapping[str, Profile], folder: Path, run_name: str) -> dict[str, Validation]:
    """Judge profiles and write the Data Docs below `folder`.

    Args:
        profiles: Name of a suite → its profile, at least one record.
        folder: Home of the file context; suites, results and HTML pages live there.
        run_name: Shown in the Data Docs; the day.

    Returns:
        Suite → what it said.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Great Expectations and what it imports warn of their own deprecations
        context = _context(folder)
        source = context.data_sources.add_or_update_pandas(name="profiles")
        docs = folder / "gx" / "uncommitted" / "data_docs" / "local_site" / "index.html"
        return {
            name: Validation(*_validate(context, source, name, profile, run_name), docs)
            for name, profile in profiles.items()
        }


def _validate(context: Any, source: Any, name: str, profile: Profile, run_name: str) -> tuple[int, tuple[Finding, ...]]:  # noqa: ANN401
    gx = _load("great_expectations")
    rules = SUITES[name]
    columns = [rule.column for rule in rules]
    frame = _load("pandas").DataFrame([{"coin": row["coin"], **{c: row[c] for c in columns}} for row in profile])
    suite = context.suites.add_or_update(gx.ExpectationSuite(name=name, expectations=_expectations(rules)))
    batch = source.add_dataframe_asset(name=name).add_batch_definition_whole_dataframe("day")
    definition = context.validation_definitions.add_or_update(
        gx.ValidationDefinition(name=name, data=batch, suite=suite)
    )
    checkpoint = context.checkpoints.add_or_update(
        gx.Checkpoint(
            name=name, validation_definitions=[definition],
            actions=[gx.checkpoint.UpdateDataDocsAction(name="docs")], result_format="SUMMARY",
        )
    )  # fmt: skip
    dtypes = dict.fromkeys(columns, "float64")
    answer = checkpoint.run(
        batch_parameters={"dataframe": frame.astype(dtypes)}, run_id=gx.RunIdentifier(run_name=run_name)
    )
    results = [result for run in answer.run_results.values() for result in run.results]
    by_column = {rule.column: rule for rule in rules}
    findings = [_finding(result, by_column, profile) for result in results if not result.success]
    findings += _unknown(rules, profile)
    return len(results), tuple(sorted(findings, key=lambda f: not f.is_wrong))


def _finding(result: Any, rules: Mapping[str, Rule], profile: Profile) -> Finding:  # noqa: ANN401 - a foreign object
    config = result.expectation_config
    column = str(config.kwargs.get("column"))
    rule = rules.get(column)
    if rule is None:
        found = result.result.get("partial_unexpected_list") or result.exception_info
        return Finding("coin", config.type, "one record a market", str(found)[:120])
    bad = [row for row in profile if not rule.holds(row[column])]
    if not bad:
        return Finding("suite", column, rule.expected, str(result.exception_info)[:120])
    more = f" ({len(bad)} markets)" if len(bad) > 1 else ""
    return Finding(str(bad[0]["coin"]), column, rule.expected, f"{_number(bad[0][column])}{more}", "", rule.is_blocking)


def _unknown(rules: Iterable[Rule], profile: Profile) -> list[Finding]:
    """Return a finding for every figure of a blocking rule that is not there: null is no pass."""
    return [
        Finding(str(row["coin"]), rule.column, rule.expected, "nothing")
        for rule in rules
        if rule.is_blocking
        for row in profile
        if row[rule.column] is None
    ]


def _number(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.6g}"
