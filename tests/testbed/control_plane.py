"""etcd, kube-apiserver, kube-controller-manager and kube-scheduler on free ports of the loopback interface.

RBAC is on, users have tokens, and every write is in an audit log. What pods run on is `process_node`'s.
"""

from __future__ import annotations

import json
import secrets
import ssl
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from testbed import flags
from testbed.pki import Authority, service_account_key
from testbed.processes import Server, ServerFailed, free_ports
from testbed.programs import find

_ADMINS = "system:masters"
# user → group. The node that runs processes is trusted: it is part of the bed, not of what is tested.
_USERS = {
    "admin": _ADMINS,
    "process-node": _ADMINS,
    "system:kube-controller-manager": "",
    "system:kube-scheduler": "",
}
_PORT_TAKEN = "address already in use"


class ControlPlane:
    """One control plane with an empty etcd. `start` and `stop` it, or use it in a `with` statement."""

    def __init__(self, folder: Path) -> None:
        """`folder` holds its keys, logs and data; it is made if need be."""
        self.folder = folder.absolute()
        self.audit_log = self.folder / "audit.jsonl"
        self.authority = Authority(self.folder / "pki")
        self.servers: dict[str, Server] = {}
        self.url = ""
        self._stack = ExitStack()
        self._tokens = {user: secrets.token_hex(16) for user in _USERS}
        self._tls = ssl.create_default_context(cafile=str(self.authority.certificate_file))

    def __enter__(self) -> ControlPlane:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start everything; returns when pods can be made in the namespace `default`.

        Raises ServerFailed, and BuildError where its programs cannot be had.
        """
        try:
            self._start_on_free_ports()
        except ServerFailed as error:
            if _PORT_TAKEN not in str(error):
                raise
            self._start_on_free_ports()  # somebody was quicker at a port that was free when it was chosen

    def stop(self) -> None:
        """Stop everything, last started first."""
        self._stack.close()

    def is_ready(self) -> bool:
        """Whether the API server answers, and has all it needs."""
        return self._is_there("/readyz")

    def kubeconfig(self, user: str = "admin", *, token: str | None = None) -> Path:
        """A kubeconfig of a user of this bed, or of the bearer of `token`."""
        cluster = {"server": self.url, "certificate-authority": str(self.authority.certificate_file)}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "testbed", "cluster": cluster}],
            "users": [{"name": user, "user": {"token": token or self.token(user)}}],
            "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": user, "namespace": "default"}}],
            "current-context": "testbed",
        }
        return self._secret(f"{user.replace(':', '-')}.kubeconfig", json.dumps(content, indent=1))

    def token(self, user: str) -> str:
        """The bearer token of a user of this bed."""
        return self._tokens[user]

    def service_account_token(self, namespace: str, name: str) -> str:
        """A token of a service account that exists, as a pod of it would have."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 86400}}
        return str(self.request("POST", path, body)["status"]["token"])

    def request(
        self, method: str, path: str, body: object = None, *, user: str = "admin", seconds: float = 30.0
    ) -> dict[str, Any]:
        """One request to the API server, answered with JSON within `seconds`; PATCH is a merge patch. Raises
        urllib.error.HTTPError and TimeoutError."""
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        request = urllib.request.Request(
            f"{self.url}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token(user)}", "Content-Type": kind},
        )
        with urllib.request.urlopen(request, timeout=seconds, context=self._tls) as reply:
            answer: dict[str, Any] = json.load(reply)
            return answer

    def audit(self) -> Iterator[dict[str, Any]]:
        """The writes of objects so far, oldest first, as events of audit.k8s.io."""
        for line in self.audit_log.read_text().splitlines(keepends=True):
            if line.endswith("\n"):  # else it is being written
                event = json.loads(line)
                if "objectRef" in event:  # else the path was none of an object
                    yield event

    def _start_on_free_ports(self) -> None:
        with ExitStack() as stack:
            self._start(stack, flags.Ports(*free_ports(5)))
            self._stack = stack.pop_all()

    def _start(self, stack: ExitStack, ports: flags.Ports) -> None:
        self.url = f"https://127.0.0.1:{ports.api}"
        keys = self._keys()
        etcd = self._server(stack, "etcd", flags.etcd(ports, self.folder / "etcd"))
        etcd.wait_until(lambda: _answers(f"http://127.0.0.1:{ports.etcd}/health"))

        api = self._server(stack, "kube-apiserver", flags.apiserver(ports, keys, self.folder / "pki", self.audit_log))
        api.wait_until(self.is_ready)  # the controller manager ends if it is not

        config = self.kubeconfig("system:kube-scheduler")
        scheduler = self._server(stack, "kube-scheduler", flags.scheduler(ports, keys, config))
        config = self.kubeconfig("system:kube-controller-manager")
        controllers = self._server(stack, "kube-controller-manager", flags.controller_manager(ports, keys, config))
        controllers.wait_until(lambda: self._is_there("/api/v1/namespaces/default/serviceaccounts/default"))
        scheduler.wait_until(lambda: _answers(f"https://127.0.0.1:{ports.scheduler}/healthz", self._tls))

    def _keys(self) -> flags.Keys:
        lines = [f'{token},{user},{user},"{_USERS[user]}"\n' for user, token in self._tokens.items()]
        return flags.Keys(
            authority=self.authority.certificate_file,
            serving=self.authority.serving("apiserver", ["localhost", "kubernetes.default.svc", "127.0.0.1"]),
            kubelet_client=self.authority.client("apiserver-kubelet-client"),
            service_accounts=service_account_key(self.folder / "pki"),
            tokens=self._secret("pki/tokens.csv", "".join(lines)),
        )

    def _server(self, stack: ExitStack, name: str, given: flags.Flags) -> Server:
        command = [str(find(name)[name]), *(f"--{flag}={value}" for flag, value in given.items())]
        server = stack.enter_context(Server(name, command, self.folder / "logs" / f"{name}.log"))
        self.servers[name] = server
        return server

    def _is_there(self, path: str) -> bool:
        headers = {"Authorization": f"Bearer {self.token('admin')}"}
        return _answers(urllib.request.Request(f"{self.url}{path}", headers=headers), self._tls)

    def _secret(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(text)
        return path


def _answers(request: str | urllib.request.Request, tls: ssl.SSLContext | None = None) -> bool:
    try:
        with urllib.request.urlopen(request, timeout=5, context=tls) as reply:
            return bool(reply.status == 200)
    except OSError:  # not up yet; urllib's errors are such
        return False
