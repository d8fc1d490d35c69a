"""Jobs on a cluster with an operator, as a user has them: kubectl applies and deletes; the rest is read."""

from __future__ import annotations

import json
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from testbed.control_plane import ControlPlane
from testbed.kubectl import Kubectl
from testbed.namespace import Manifest, Namespace
from testbed.operator import USER
from testbed.processes import Server
from testbed.waiting import wait_for

SECONDS = 180.0  # a bound against hanging, not an expectation
_VERDICT = "authorization.k8s.io/decision"
_READS = ("get", "list", "watch")


class Jobs:
    """The jobs of one namespace and what belongs to them."""

    def __init__(self, plane: ControlPlane, namespace: Namespace) -> None:
        self.plane = plane
        self.namespace = namespace
        self._kubectl = Kubectl(plane)
        self._path = f"/apis/pet.dev/v1/namespaces/{namespace.name}/pettrainingjobs"

    def kubectl(self, *words: str, content: str = "") -> str:
        """What kubectl says in this namespace. Raises AssertionError where it fails."""
        done = self._kubectl("-n", self.namespace.name, *words, content=content)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def watching(self, *words: str) -> subprocess.Popen[str]:
        """A kubectl that goes on; leaving its `with` statement waits for its end."""
        return self._kubectl.started("-n", self.namespace.name, *words)

    def apply(self, *manifests: Manifest) -> None:
        """`kubectl apply -f` of a file with these."""
        self.kubectl("apply", "-f", "-", content="\n---\n".join(map(json.dumps, manifests)))

    def delete(self, name: str, *flags: str) -> None:
        """`kubectl delete`; it waits until the job is gone, as ever."""
        self.kubectl("delete", "ptj", name, *flags)

    def get(self, name: str) -> Manifest:
        """The job as it is stored. Raises urllib.error.HTTPError."""
        return self.plane.request("GET", f"{self._path}/{name}")

    def status(self, name: str) -> Manifest:
        """What the operator says of it, empty before it has."""
        found: Manifest = self.get(name).get("status") or {}
        return found

    def wait(self, name: str, what: str, holds: Callable[[Manifest], object]) -> Manifest:
        """The status as soon as it `holds`. Raises AssertionError, with the newest one, once the job is over without
        that, or when it takes too long."""

        def look() -> Manifest:
            job = self.get(name)
            status: Manifest = job.get("status") or {}
            if holds(status):
                return status
            over = status.get("phase") in ("Succeeded", "Failed")
            edited = status.get("observedGeneration") != job["metadata"]["generation"]
            assert edited or not over, f"{name} is never {what}: {json.dumps(status)}"
            return {}

        try:
            return wait_for(f"job {name} {what}", look, SECONDS)
        except TimeoutError as late:
            raise AssertionError(f"{late}: {json.dumps(self.status(name))}; {self.events(name)}") from late

    def reaches(self, name: str, phase: str) -> Manifest:
        """The status in this phase."""
        return self.wait(name, phase, lambda status: status.get("phase") == phase)

    def condition(self, name: str, kind: str) -> Manifest:
        """One condition, empty if there is none of the kind."""
        return next((entry for entry in self.status(name).get("conditions") or () if entry["type"] == kind), {})

    def pods(self, name: str) -> list[Manifest]:
        """The pods of a job of this name, by their names."""
        labelled = [(pod["metadata"].get("labels") or {}, pod) for pod in self.namespace.all("pods")]
        pods = [pod for labels, pod in labelled if labels.get("pet.dev/job") == name]
        return sorted(pods, key=lambda pod: str(pod["metadata"]["name"]))

    def objects(self) -> dict[str, list[str]]:
        """The names of all that jobs have made here, by kind, and of nothing else."""
        return {
            plural: sorted(
                item["metadata"]["name"]
                for item in self.namespace.all(plural)
                if (item["metadata"].get("labels") or {}).get("app.kubernetes.io/managed-by") == "pet-operator"
            )
            for plural in ("pods", "services", "configmaps", "persistentvolumeclaims")
        }

    def events(self, name: str) -> list[tuple[str, str]]:
        """Reason and note of what was told about a job, oldest first."""
        path = f"/apis/events.k8s.io/v1/namespaces/{self.namespace.name}/events"
        items = [item for item in self.plane.request("GET", path)["items"] if item["regarding"]["name"] == name]
        return [(item["reason"], item["note"]) for item in sorted(items, key=lambda item: str(item["eventTime"]))]


@contextmanager
def jobs_of(plane: ControlPlane) -> Iterator[Jobs]:
    """A namespace of its own; in the end its jobs go before it does, so that no operator works in what is going."""
    with Namespace(plane) as namespace:
        jobs = Jobs(plane, namespace)
        yield jobs
        jobs.kubectl("delete", "ptj", "--all")
        plane.request("DELETE", f"/api/v1/namespaces/{namespace.name}/pods", {"gracePeriodSeconds": 1})
        wait_for("the end of the pods", lambda: not namespace.all("pods"))


@contextmanager
def api_server_of(plane: ControlPlane) -> Iterator[Server]:
    """The API server, to be killed or frozen; in the end it runs."""
    server = plane.servers["kube-apiserver"]
    yield server
    if server.running:
        server.send(signal.SIGCONT)
    else:
        server.start()
    server.wait_until(plane.is_ready)


class Requests:
    """What the operator has asked of the API server since this was made, by the audit log."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._before = sum(1 for _ in plane.audit())

    def all(self, namespace: str = "") -> list[Manifest]:
        """One event of the audit log for each request for an object, oldest first: of one namespace, or all."""
        events = {
            event["auditID"]: event
            for event in list(self._plane.audit())[self._before :]
            if event["user"]["username"] == USER and "objectRef" in event  # others ask what kinds there are
        }
        return [event for event in events.values() if namespace in ("", event["objectRef"].get("namespace"))]

    def writes(self, namespace: str = "") -> Counter[str]:
        """How often it wrote what, for example `create pods` or `patch pettrainingjobs/status`; refused ones too."""
        return Counter(what(event) for event in self.all(namespace) if event["verb"] not in _READS)

    def refused(self) -> list[str]:
        """What it had no right to. What is then refused to everybody, as in a namespace that is being deleted, is
        allowed by the rights."""
        forbidden = [event for event in self.all() if event["annotations"][_VERDICT] == "forbid"]
        return [what(event) for event in forbidden]


def what(event: Manifest) -> str:
    """`<verb> <resource>[/<subresource>]`; empty for what is no object."""
    about = event.get("objectRef")
    if about is None:
        return ""
    below = f"/{about['subresource']}" if "subresource" in about else ""
    return f"{event['verb']} {about['resource']}{below}"


def job(name: str = "job", **spec: Any) -> Manifest:
    """One rank on CPU, from a configuration that the stock image has; `spec` is its further fields."""
    return {
        "apiVersion": "pet.dev/v1",
        "kind": "PetTrainingJob",
        "metadata": {"name": name},
        "spec": {"cfg": "cfgs/tasks/cls/FashionMNIST/slim_resnet_1x.yaml", "gpusPerNode": 0, **spec},
    }
