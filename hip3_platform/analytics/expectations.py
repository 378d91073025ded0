"""The Great Expectations suite over the signal profile of a day, with Data Docs.

Great Expectations takes seconds and hundreds of megabytes to import, so it is imported by `_load` only, when a
profile is judged; a test holds that neither it nor pandas comes with the code location.
"""

import importlib
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SUITE = "signals"
EDGE_BPS_MAX = 2_000.0
SIGNAL_COUNT_MAX = 100_000
FOLLOWUP_ABSENT_RATIO_MAX = 0.05
"""A session that ends takes the follow-ups of its last seconds with it."""

NEVER = (
    "signal_id_repeat_count", "episode_repeat_count", "side_unknown_count", "origin_unknown_count",
    "px_not_positive_count", "sz_not_positive_count", "edge_below_threshold_count", "net_not_below_raw_count",
    "fee_not_positive_count", "unblocked_without_book_count", "gate_vector_incomplete_count",
    "unblocked_despite_gate_count",
)  # fmt: skip
"""Columns of the profile that must be 0 for every market."""


@dataclass(frozen=True, slots=True)
class Validation:
    """What the suite said."""

    is_passed: bool
    expectation_count: int
    failures: tuple[str, ...]
    docs: Path
    """Entry page of the Data Docs."""


def _load(module: str) -> Any:  # noqa: ANN401 - Great Expectations does not export the types of its public names
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # must stand before its first import
    return importlib.import_module(module)


def _expectations() -> list[Any]:
    gxe = _load("great_expectations.expectations")
    return [
        gxe.ExpectColumnValuesToBeUnique(column="coin"),
        gxe.ExpectColumnValueLengthsToBeBetween(column="coin", min_value=1, max_value=64),
        gxe.ExpectColumnValuesToBeBetween(column="signal_count", min_value=1, max_value=SIGNAL_COUNT_MAX),
        gxe.ExpectColumnValuesToBeBetween(column="raw_edge_bps_max", min_value=0, max_value=EDGE_BPS_MAX),
        gxe.ExpectColumnValuesToBeBetween(
            column="followup_absent_ratio", min_value=0, max_value=FOLLOWUP_ABSENT_RATIO_MAX
        ),
        *(gxe.ExpectColumnValuesToBeInSet(column=column, value_set=[0]) for column in NEVER),
    ]


def _context(folder: Path) -> Any:  # noqa: ANN401 - see _load
    folder.mkdir(parents=True, exist_ok=True)
    context = _load("great_expectations").get_context(mode="file", project_root_dir=folder)
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    return context


def _failure_text(result: Any) -> str:  # noqa: ANN401 - a foreign result object
    config = result.expectation_config
    found = result.result.get("partial_unexpected_list") or result.exception_info
    return f"{config.kwargs.get('column')}: {config.type} failed, found {str(found)[:120]}"


def validate_profile(profile: list[dict[str, Any]], folder: Path, run_name: str) -> Validation:
    """Judge a profile (one record a market) and write the Data Docs below `folder`.

    Args:
        profile: Records of `profile.profile_signals`, at least one.
        folder: Home of the file context; suites, results and HTML pages live there.
        run_name: Shown in the Data Docs; the day.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Great Expectations and what it imports warn of their own deprecations
        return _validate(profile, folder, run_name)


def _validate(profile: list[dict[str, Any]], folder: Path, run_name: str) -> Validation:
    context = _context(folder)
    gx = _load("great_expectations")
    frame = _load("pandas").DataFrame(profile)
    suite = context.suites.add_or_update(gx.ExpectationSuite(name=SUITE, expectations=_expectations()))
    source = context.data_sources.add_or_update_pandas(name="profile")
    asset = source.add_dataframe_asset(name=SUITE)
    batch = asset.add_batch_definition_whole_dataframe("day")
    definition = context.validation_definitions.add_or_update(
        gx.ValidationDefinition(name=SUITE, data=batch, suite=suite)
    )
    checkpoint = context.checkpoints.add_or_update(
        gx.Checkpoint(
            name=SUITE, validation_definitions=[definition],
            actions=[gx.checkpoint.UpdateDataDocsAction(name="docs")], result_format="SUMMARY",
        )
    )  # fmt: skip
    answer = checkpoint.run(batch_parameters={"dataframe": frame}, run_id=gx.RunIdentifier(run_name=run_name))
    results = [result for run in answer.run_results.values() for result in run.results]
    failures = tuple(_failure_text(result) for result in results if not result.success)
    docs = folder / "gx" / "uncommitted" / "data_docs" / "local_site" / "index.html"
    return Validation(bool(answer.success), len(results), failures, docs)
