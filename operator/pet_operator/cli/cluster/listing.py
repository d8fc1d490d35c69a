"""`pet list`: the jobs of a namespace or of the whole cluster."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from pet_operator.cli.cluster.access import ALL, Context, Kubeconfig, Namespace, Place, ask, connect
from pet_operator.cli.cluster.describe import age
from pet_operator.cli.cluster.freshness import status_of
from pet_operator.cli.output import Format, line, print_json
from pet_operator.domain.codec import read_time
from pet_operator.domain.constants import JOB
from pet_operator.domain.status import CheckpointStatus, Display
from pet_operator.runtime.ports import Manifest

# As kubectl get has them.
_COLUMNS = ("NAMESPACE", "NAME", "STATE", "STEP", "ETA", "LOSS", "CKPT", "RESTARTS", "AGE")

Everywhere = Annotated[bool, typer.Option("-A", "--all-namespaces", help="The jobs of all namespaces.")]
Output = Annotated[Format, typer.Option("-o", "--output", help="json: the list of jobs as the cluster has it.")]


def list_jobs(
    namespace: Namespace = None,
    everywhere: Everywhere = False,
    output: Output = Format.TEXT,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """List jobs."""
    if everywhere and namespace is not None:
        raise typer.BadParameter("give either a namespace or -A", param_hint="-n")
    where, jobs = ask(_jobs(Place(kubeconfig, context, ALL if everywhere else namespace)))
    if output is Format.JSON:
        print_json({"apiVersion": JOB.api_version, "kind": f"{JOB.kind}List", "items": jobs})
    elif not jobs:
        line(f"no jobs in {f'namespace {where}' if where else 'any namespace'}", stderr=True)
    else:
        _print([_row(job, datetime.now(UTC)) for job in jobs], first=0 if everywhere else 1)


async def _jobs(place: Place) -> tuple[str, list[Manifest]]:
    """The namespace, and its jobs."""
    async with connect(place) as cluster:
        return cluster.namespace, await cluster.jobs()


def _row(job: Manifest, now: datetime) -> tuple[str, ...]:
    metadata, status = job["metadata"], status_of(job, now)
    display, checkpoint = status.display or Display(), status.checkpoint or CheckpointStatus()
    return (
        metadata["namespace"], metadata["name"], status.phase, display.step, display.eta, display.loss,
        age(checkpoint.saved_at, now), str(status.restarts), age(read_time(metadata["creationTimestamp"]), now),
    )  # fmt: skip


def _print(rows: list[tuple[str, ...]], *, first: int) -> None:
    """The columns from `first` on, each as wide as its widest entry."""
    table = [_COLUMNS, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(_COLUMNS))]
    for row in table:
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)]
        line("   ".join(cells[first:]).rstrip())
