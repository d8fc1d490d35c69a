"""`pet status`: how a job of a cluster stands."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from pet_operator.cli.cluster.access import Context, Kubeconfig, Name, Namespace, Place, Unanswered, ask, connect
from pet_operator.cli.cluster.describe import print_job, print_pods
from pet_operator.cli.output import Format, fact, print_json
from pet_operator.domain.views import pod_view
from pet_operator.runtime.ports import Manifest

Output = Annotated[Format, typer.Option("-o", "--output", help="json: the job as the cluster has it.")]


def status(
    name: Name,
    namespace: Namespace = None,
    output: Output = Format.TEXT,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show how a job stands: progress, checkpoint, restarts, what went wrong and where, its pods."""
    place = Place(kubeconfig, context, namespace)
    if output is Format.JSON:
        print_json(ask(_job(place, name)))
        return
    job, pods = ask(_job_and_pods(place, name))
    print_job(job, datetime.now(UTC))
    if isinstance(pods, Unanswered):
        fact("pods", str(pods.problem))
    else:
        print_pods([pod_view(pod) for pod in pods])


async def _job(place: Place, name: str) -> Manifest:
    async with connect(place) as cluster:
        return await cluster.job(name)


async def _job_and_pods(place: Place, name: str) -> tuple[Manifest, list[Manifest] | Unanswered]:
    """Whoever may read jobs may not be allowed to read pods: the job is shown all the same."""
    async with connect(place) as cluster:
        job = await cluster.job(name)
        try:
            return job, await cluster.pods(job)
        except Unanswered as error:
            return job, error
