"""The command lines of a control plane's servers: how they find each other, and what this bed switches off."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

Flags = dict[str, object]

# Endpoints of pods in 127.0.0.0/8 are refused by the API server, and these would try them again and again.
_WITHOUT = ("endpoints-controller", "endpointslice-controller", "endpointslice-mirroring-controller")
_WRITES = ["create", "update", "patch", "delete", "deletecollection"]
_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "Metadata", "verbs": _WRITES},
        {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"]},
        {"level": "Metadata", "userGroups": ["system:serviceaccounts"]},
        {"level": "None"},
    ],
}


@dataclass(frozen=True)
class Ports:
    """Ports of the loopback interface."""

    etcd: int
    etcd_peers: int
    api: int
    controllers: int
    scheduler: int


@dataclass(frozen=True)
class Keys:
    """Files of the control plane's authority; `serving` (of all servers) and `kubelet_client`: certificate and key."""

    authority: Path
    serving: tuple[Path, Path]
    kubelet_client: tuple[Path, Path]
    service_accounts: Path
    tokens: Path


def etcd(ports: Ports, folder: Path) -> Flags:
    """A store that forgets with its folder: nothing waits for the disk."""
    clients, peers = f"http://127.0.0.1:{ports.etcd}", f"http://127.0.0.1:{ports.etcd_peers}"
    return {
        "data-dir": folder,
        "unsafe-no-fsync": "true",
        "log-level": "warn",
        "listen-client-urls": clients,
        "advertise-client-urls": clients,
        "listen-peer-urls": peers,
        "initial-advertise-peer-urls": peers,
        "initial-cluster": f"default={peers}",
    }


def apiserver(ports: Ports, keys: Keys, folder: Path, audit_log: Path) -> Flags:
    """RBAC, bearer tokens, kubelets by address and certificate. Every write is in the audit log before it is answered,
    and every read of a service account that is not the control plane's own."""
    policy = folder / "audit-policy.json"
    policy.write_text(json.dumps(_AUDIT_POLICY))
    return {
        "etcd-servers": f"http://127.0.0.1:{ports.etcd}",
        "bind-address": "127.0.0.1",
        "advertise-address": "127.0.0.1",
        "secure-port": ports.api,
        "endpoint-reconciler-type": "none",
        "service-cluster-ip-range": "10.0.0.0/16",
        "tls-cert-file": keys.serving[0],
        "tls-private-key-file": keys.serving[1],
        "authorization-mode": "RBAC",
        "token-auth-file": keys.tokens,
        "service-account-issuer": "https://kubernetes.default.svc",
        "service-account-key-file": keys.service_accounts,
        "service-account-signing-key-file": keys.service_accounts,
        "kubelet-certificate-authority": keys.authority,
        "kubelet-client-certificate": keys.kubelet_client[0],
        "kubelet-client-key": keys.kubelet_client[1],
        "kubelet-preferred-address-types": "InternalIP",
        "audit-policy-file": policy,
        "audit-log-path": audit_log,
        "audit-log-mode": "blocking",
        "profiling": "false",
    }


def controller_manager(ports: Ports, keys: Keys, kubeconfig: Path) -> Flags:
    """With the usual limit of requests a namespace would wait seconds for its first service account."""
    return {
        "kubeconfig": kubeconfig,
        "bind-address": "127.0.0.1",
        "secure-port": ports.controllers,
        "tls-cert-file": keys.serving[0],
        "tls-private-key-file": keys.serving[1],
        "controllers": ",".join(["*", *(f"-{name}" for name in _WITHOUT)]),
        "use-service-account-credentials": "true",
        "service-account-private-key-file": keys.service_accounts,
        "root-ca-file": keys.authority,
        "kube-api-qps": 300,
        "kube-api-burst": 600,
        "leader-elect": "false",
        "profiling": "false",
    }


def scheduler(ports: Ports, keys: Keys, kubeconfig: Path) -> Flags:
    """One scheduler, alone."""
    return {
        "kubeconfig": kubeconfig,
        "bind-address": "127.0.0.1",
        "secure-port": ports.scheduler,
        "tls-cert-file": keys.serving[0],
        "tls-private-key-file": keys.serving[1],
        "authentication-tolerate-lookup-failure": "true",
        "leader-elect": "false",
        "profiling": "false",
    }
