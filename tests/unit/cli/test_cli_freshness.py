"""When the numbers of a job are too old to be shown as live."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from harness.answers import answering
from harness.commands import pet

from pet_operator.cli.cluster.freshness import status_of
from pet_operator.domain.codec import write_time
from pet_operator.domain.status import Display

NOW = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
DISPLAY = {"step": "120/480", "eta": "6m", "loss": "0.43"}


def job(age: float, *, phase: str = "Running", **numbers: Any) -> dict[str, Any]:
    """One whose numbers changed `age` seconds ago; a step takes a second."""
    observed = write_time(NOW - timedelta(seconds=age))
    progress = {"iteration": 120, "maxIterations": 480, "etaSeconds": 360, "loss": 0.43, "observedAt": observed}
    return {"status": {"phase": phase, "progress": progress | numbers, "display": DISPLAY}}


@pytest.mark.parametrize(
    ("content", "live"),
    [
        (job(10), True),  # the pace of writes
        (job(30), True),
        (job(31), False),
        (job(31, phase="Starting"), False),  # its operator died while ranks were started again
        (job(31, phase="Failed"), True),  # the last ones for ever, and nobody takes them for anything else
        (job(170, etaSeconds=360 * 60), True),  # a step takes a minute
        (job(181, etaSeconds=360 * 60), False),
        (job(31, etaSeconds=None), False),
        (job(31, iteration=480, etaSeconds=0), False),
        (job(31, observedAt=None), True),  # nobody knows
        (job(-60), True),  # another clock
    ],
)
def test_they_are_live_for_a_few_steps(content: dict[str, Any], live: bool) -> None:
    status = status_of(content, NOW)
    assert status.progress is not None
    assert status.progress.stale is not live
    assert status.display is not None
    assert status.display.step == ("120/480" if live else f"~{status.progress.iteration}/480")


def test_what_the_operator_has_marked_stays_marked() -> None:
    content = job(1, stale=True)
    content["status"]["display"] = {"step": "~120/480"}
    status = status_of(content, NOW)
    assert status.progress is not None
    assert status.progress.stale
    assert status.display == Display(step="~120/480")


def test_a_job_without_numbers_has_none_to_mark() -> None:
    assert status_of({"status": {"phase": "Pending"}}, NOW).progress is None


def test_the_list_marks_them_too_and_json_stays_what_the_cluster_has(tmp_path: Path) -> None:
    metadata = {"name": "job", "namespace": "default", "creationTimestamp": "2000-01-01T00:00:00Z"}
    content = job(0, observedAt="2000-01-01T00:01:00Z") | {"metadata": metadata}
    with answering() as server:
        server.give({"items": [content], "metadata": {"resourceVersion": "1"}})
        text, result = (
            pet("list", "--kubeconfig", server.kubeconfig(tmp_path), *form) for form in ((), ("-o", "json"))
        )
    assert text.out.splitlines()[1].split()[:5] == ["job", "Running", "~120/480", "~6m", "~0.43"]
    assert json.loads(result.out)["items"] == [content]
