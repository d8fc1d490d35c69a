"""The operator beside a control plane: its definitions and rights installed, and it as a process under its own name."""

from __future__ import annotations

import os
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from testbed.control_plane import ControlPlane
from testbed.processes import Server

NAMESPACE = ACCOUNT = "pet-operator"
USER = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"

_TESTS = Path(__file__).resolve().parents[1]
_CHECKOUT = _TESTS.parent
_SOURCES = (_TESTS, _CHECKOUT / "operator", _CHECKOUT / "trainer")  # of this checkout, whatever is installed
_RULES = _CHECKOUT / "helm" / "pet-operator" / "files"
_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_PORT = re.compile(r"/metrics on port (\d+)")


def install(plane: ControlPlane) -> None:
    """The resource, the operator's namespace, its account and its rights."""
    definition = yaml.safe_load((_CHECKOUT / "crds" / "pettrainingjobs.yaml").read_text())
    _make(plane, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
    _make(plane, "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    _make(plane, f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", {"metadata": {"name": ACCOUNT}})
    rules = [rule for name in ("operator-rules", "operator-cluster-rules") for rule in _rules(name)]
    _grant(plane, _RBAC, "ClusterRole", rules)
    _grant(plane, f"{_RBAC}/namespaces/{NAMESPACE}", "Role", _rules("operator-lease-rules"))


class Operator:
    """One operator process. `start`, `stop` and `kill` it, or use it in a `with` statement."""

    def __init__(
        self,
        plane: ControlPlane,
        *,
        name: str = "operator",
        namespace: str = "",
        program: Sequence[str] = ("pet_operator",),
        poll_seconds: float = 0.5,
        options: Sequence[str] = (),
    ) -> None:
        """`namespace`: the one that it looks after, with a Lease there; empty: all. `program`: a module and what it is
        told before the operator's own arguments, of which `options` are some more."""
        token = plane.service_account_token(NAMESPACE, ACCOUNT)
        words = [f"--kubeconfig={plane.kubeconfig(name, token=token)}", f"--lease-namespace={namespace or NAMESPACE}"]
        if namespace:
            _grant(plane, f"{_RBAC}/namespaces/{namespace}", "Role", _rules("operator-lease-rules"))
            words.append(f"--namespace={namespace}")
        self.server = Server(
            name,
            [
                sys.executable, "-m", *program, "--trainer-image=trainer:stock", f"--poll-seconds={poll_seconds}",
                "--port=0", *words, *options,
            ],
            plane.folder / "logs" / f"{name}.log",
            {**os.environ, "POD_NAME": name, "PYTHONPATH": os.pathsep.join(map(str, _SOURCES))},
        )  # fmt: skip

        self._log_begins = self.server.log.stat().st_size if self.server.log.exists() else 0  # others had its name

    def __enter__(self) -> Operator:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Returns when it has seen all jobs and pods. Raises ServerFailed."""
        self.server.start()
        self.server.wait_until(self._ready)

    def stop(self) -> None:
        """As when its pod is deleted."""
        self.server.stop()

    def kill(self) -> None:
        """As when its node fails."""
        self.server.kill()

    def log(self) -> str:
        """What it has logged, in all its lives."""
        return self.server.log.read_bytes()[self._log_begins :].decode()

    def metric(self, name: str) -> float:
        """The sum of a metric's samples, whatever their labels."""
        samples = re.findall(rf"^{name}(?:{{.*}})? (.*)$", self.page("/metrics"), re.MULTILINE)
        return sum(map(float, samples))

    @property
    def leading(self) -> bool:
        """Whether it holds the Lease, as far as it knows."""
        return self.metric("pet_operator_leader") == 1

    def page(self, path: str) -> str:
        """A page of its HTTP port. Raises OSError."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port()}{path}", timeout=5) as reply:
            text: bytes = reply.read()
            return text.decode()

    def _port(self) -> int:
        found = _PORT.findall(self.log())
        if not found:
            raise ConnectionError("it serves no port yet")
        return int(found[-1])

    def _ready(self) -> bool:
        try:
            return self.page("/readyz") == "ok\n"
        except OSError:
            return False


def _rules(name: str) -> list[Any]:
    rules: list[Any] = yaml.safe_load((_RULES / f"{name}.yaml").read_text())
    return rules


def _grant(plane: ControlPlane, place: str, kind: str, rules: list[Any]) -> None:
    _make(plane, f"{place}/{kind.lower()}s", {"metadata": {"name": ACCOUNT}, "rules": rules})
    binding = {
        "metadata": {"name": ACCOUNT},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": ACCOUNT},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE}],
    }
    _make(plane, f"{place}/{kind.lower()}bindings", binding)


def _make(plane: ControlPlane, path: str, manifest: dict[str, Any]) -> None:
    try:
        plane.request("POST", path, manifest)
    except urllib.error.HTTPError as error:
        if error.code != 409:
            raise
