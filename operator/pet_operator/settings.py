"""What an operator is told at its start."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The command line of `pet-operator`, or the chart's values behind it."""

    trainer_image: str
    """The image of jobs that name none."""

    kubeconfig: str | None = None
    """None: the pod's service account, else the user's kubeconfig."""

    namespaces: frozenset[str] = frozenset()
    """Those that are looked after; empty: all."""

    lease_namespace: str = "pet-system"
    """Where the Lease is that says which of several operators works."""

    identity: str = ""
    """What this operator is called in the Lease and in events: the pod's name."""

    port: int = 8080
    """Of `/healthz`, `/readyz` and `/metrics`."""

    poll_seconds: float = 5.0
    """Between two questions to each launcher."""

    log_format: str = "text"
    """Of the operator's own log: text or json."""

    resync_seconds: float = 300.0
    """Between two lists of all jobs, which find those whose deletion was missed."""

    watch_nodes: bool = True
    """Find lost nodes at once. Without it, for operators that have rights in namespaces only, a pod on a lost node is
    given up when the cluster has deleted it and its grace is over."""

    workers: int = 16
    """Jobs that are looked at side by side."""
