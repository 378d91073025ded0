"""How days are asked for: one run of the daily job a day, or several days in one run of `catch_up`."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from hip3_platform.catch_up import CATCH_UP, OP

DAILY_JOB = "daily"
INPUT_TAG = "hip3/input"
"""Day and digest of its manifest lines."""
KIND_TAG = "hip3/kind"


def day_request(day: str, digest: str) -> dg.RunRequest:
    """Return the request of one whole closed day, from bronze to rotation."""
    key = f"{day}:{digest}"
    return dg.RunRequest(
        run_key=key,
        partition_key=day,
        job_name=DAILY_JOB,
        tags={INPUT_TAG: key, KIND_TAG: "closed_day", "dagster/priority": "10"},
    )


def catch_up_request(requests: Sequence[dg.RunRequest]) -> dg.RunRequest:
    """Return one request for the days of several; each is a run of its own in it, with the tags it would have had."""
    days = [str(request.partition_key) for request in requests]
    config = {"days": days, "tags": {day: dict(each.tags) for day, each in zip(days, requests, strict=True)}}
    keys = "|".join(str(request.run_key) for request in requests)
    return dg.RunRequest(
        run_key=f"{CATCH_UP}:{hashlib.sha256(keys.encode()).hexdigest()}", job_name=CATCH_UP,
        run_config={"ops": {OP: {"config": config}}},
        tags={KIND_TAG: CATCH_UP, "dagster/priority": "10", "hip3/days": f"{days[0]}..{days[-1]}"},
    )  # fmt: skip


def inputs_of(run_config: Mapping[str, Any]) -> list[str]:
    """Return the inputs (`INPUT_TAG`) of the days of a run of `catch_up`."""
    tags = run_config["ops"][OP]["config"]["tags"].values()
    return [each[INPUT_TAG] for each in tags if INPUT_TAG in each]
