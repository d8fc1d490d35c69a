"""The jobs of a cluster, as commands read them. Whatever keeps from reading is one problem, with its remedy."""

from __future__ import annotations

import asyncio
import difflib
import re
import ssl
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from pet.config import Problem
from pet_operator.cli.output import Exit, report
from pet_operator.domain.constants import JOB, LABEL_JOB_UID, POD
from pet_operator.runtime.ports import ApiError, Key, Manifest

if TYPE_CHECKING:
    from pet_operator.kube.gateway import KubeGateway

T = TypeVar("T")

Name = Annotated[str, typer.Argument(help="The job.", show_default=False)]
Namespace = Annotated[
    str | None, typer.Option("-n", "--namespace", metavar="NAME", help="Default: that of the kubeconfig's context.")
]
Context = Annotated[str | None, typer.Option("--context", metavar="NAME", help="A context of the kubeconfig.")]
Kubeconfig = Annotated[
    str | None, typer.Option("--kubeconfig", metavar="FILE", help="Default: KUBECONFIG, else ~/.kube/config.")
]

ALL = ""  # namespaces
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


class Unanswered(Exception):
    """The cluster did not answer. `passing`: it may do so the next time."""

    def __init__(self, field: str, message: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.problem = Problem(field, message)
        self.passing = passing


@dataclass(frozen=True)
class Place:
    """Where to look. None: what the kubeconfig says."""

    kubeconfig: str | None
    context: str | None
    namespace: str | None


class Cluster:
    """The jobs of one namespace, or of all. Every method raises Unanswered."""

    def __init__(self, gateway: KubeGateway, server: str, namespace: str) -> None:
        self.namespace = namespace
        self._gateway = gateway
        self._server = server

    async def job(self, name: str) -> Manifest:
        """One job."""
        _check_name("NAME", name)
        with self._asking():
            found = await self._gateway.get(JOB, Key(self.namespace, name))
            if found is None:
                raise Unanswered(name, f"no such job in namespace {self.namespace}{await self._nearest(name)}")
        return found

    async def jobs(self) -> list[Manifest]:
        """All of them."""
        with self._asking():
            return await self._gateway.list(JOB, "")

    async def pods(self, job: Manifest) -> list[Manifest]:
        """The pods of a job, of all attempts."""
        with self._asking():
            return await self._gateway.list(POD, f"{LABEL_JOB_UID}={job['metadata']['uid']}")

    async def _nearest(self, name: str) -> str:
        """A hint. A cluster that has no such kind of object answers as if there were no such job, but not to this."""
        try:
            names = [job["metadata"]["name"] for job in await self._gateway.list(JOB, "")]
        except ApiError as error:
            if error.status == 404:
                raise
            return ""
        near = difflib.get_close_matches(name, names, n=1)
        return f", did you mean {near[0]}?" if near else "; pet list -A shows those of all namespaces"

    @contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except ApiError as error:
            raise self._refused(error) from error
        except OSError as error:
            reason = str(error) or type(error).__name__
            remedy = "is it up, and is this the right --context?"
            raise Unanswered(self._server, f"cannot be reached: {reason}; {remedy}", passing=True) from error

    def _refused(self, error: ApiError) -> Unanswered:
        if error.status == 401:
            return Unanswered(self._server, "does not take your credentials; log in again, or give another --context")
        if error.status == 403:
            where = f"namespace {self.namespace}" if self.namespace else "all namespaces"
            return Unanswered(where, f"{error.message}; whoever runs the cluster can give you the right")
        if error.status == 404:
            remedy = "install Pet's operator, or first its resource: kubectl apply -f crds/pettrainingjobs.yaml"
            return Unanswered(self._server, f"knows no PetTrainingJobs; {remedy}")
        answer = f"answers {error.status}: {error.message.strip() or error.reason}"
        return Unanswered(self._server, answer, passing=error.status >= 500 or error.status == 429)


@asynccontextmanager
async def connect(place: Place) -> AsyncIterator[Cluster]:
    """A cluster to ask. Raises Unanswered."""
    from kubernetes.aio.config import ConfigException

    from pet_operator.kube.credentials import load_credentials, users_kubeconfig
    from pet_operator.kube.gateway import KubeGateway

    if place.namespace:
        _check_name("--namespace", place.namespace)
    try:
        # The user's goes before the pod's own, if this is a pod: it is the user who asks.
        credentials = await load_credentials(place.kubeconfig or users_kubeconfig(), place.context)
        namespace = credentials.namespace if place.namespace is None else place.namespace
        gateway = KubeGateway(credentials, frozenset({namespace} if namespace else ()))
    except ConfigException as error:
        text = " ".join(str(error).split())
        if place.context is not None:
            raise Unanswered("--context", f"{text}; kubectl config get-contexts shows those that there are") from error
        raise Unanswered("--kubeconfig", f"{text}; give another one, or set KUBECONFIG") from error
    except (ssl.SSLError, OSError) as error:
        raise Unanswered("--kubeconfig", f"its certificates cannot be used: {error}") from error
    async with gateway:
        yield Cluster(gateway, credentials.server, namespace)


def _check_name(field: str, name: str) -> None:
    """Whatever is no name could lead to another place of the API server. Raises Unanswered."""
    if not _NAME.fullmatch(name):
        raise Unanswered(field, f"{name!r} is not a name: those are made of a-z, 0-9 and -")


def ask(question: Coroutine[Any, Any, T]) -> T:
    """The answer to a question; without one the command ends."""
    try:
        return asyncio.run(question)
    except Unanswered as error:
        report([error.problem])
        raise typer.Exit(Exit.USAGE) from error
    except KeyboardInterrupt:
        raise typer.Exit(Exit.STOPPED) from None
