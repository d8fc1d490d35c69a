"""The control plane knows who does what, and who may."""

from __future__ import annotations

import urllib.error

import pytest
from testbed.control_plane import ControlPlane
from testbed.kubectl import Kubectl
from testbed.namespace import Namespace


def test_the_audit_log_holds_every_write_by_its_user_and_no_read(control_plane: ControlPlane) -> None:
    with Namespace(control_plane) as namespace:
        namespace.create("configmaps", {"metadata": {"name": "c"}})
        namespace.get("configmaps", "c")
        path = f"/api/v1/namespaces/{namespace.name}/configmaps/c"
        control_plane.request("PATCH", path, {"data": {"a": "b"}}, user="process-node")
        namespace.delete("configmaps", "c")
    written = [
        (event["verb"], event["user"]["username"])
        for event in control_plane.audit()
        if event["objectRef"].get("namespace") == namespace.name and event["objectRef"].get("name") == "c"
    ]
    assert written == [("create", "admin"), ("patch", "process-node"), ("delete", "admin")]


def test_a_service_account_may_do_what_a_role_allows(control_plane: ControlPlane) -> None:
    with Namespace(control_plane) as namespace:
        namespace.create("serviceaccounts", {"metadata": {"name": "reader"}})
        token = control_plane.service_account_token(namespace.name, "reader")
        config = control_plane.kubeconfig("reader", token=token)
        kubectl = Kubectl(control_plane, kubeconfig=config)
        refused = kubectl("get", "pods", "-n", namespace.name)
        assert f'User "system:serviceaccount:{namespace.name}:reader" cannot list' in refused.stderr
        binding = {
            "metadata": {"name": "reader"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
            "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": namespace.name}],
        }
        path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace.name}/rolebindings"
        control_plane.request("POST", path, binding)
        assert kubectl("get", "pods", "-n", namespace.name).returncode == 0


def test_a_stranger_is_refused(control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_plane, "token", lambda user: "no such token")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        control_plane.request("GET", "/api/v1/namespaces")
