"""The `pet-operator` program: the controller of PetTrainingJobs."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import socket
import sys

from kubernetes.aio.config import ConfigException

from pet import __version__
from pet_operator import application
from pet_operator.adapters import logs
from pet_operator.adapters.kopf_shell import CredentialsRefused
from pet_operator.adapters.leader import LeadershipLost
from pet_operator.settings import Settings

_LOG = logging.getLogger(__name__)
# The API server takes objects of 10,000 levels, from anybody who may write a job. None of them may be too deep to be
# read here: kopf and we would try it again and again, and read no other. A copy takes two calls a level.
_LEVELS = 50_000
# New objects between two looks for cycles among them; Python's 700 are a small part of what one answer is read into.
_YOUNG = 50_000
_NAMESPACE_HELP = "look after this one, may be given again; default: all"
_NODES_HELP = "watch nodes, which takes a ClusterRole, to find lost ones at once (%(default)s)"
_POLL_HELP = "between two questions to each launcher (%(default)s)"


def main() -> None:
    """Run the operator until SIGTERM or SIGINT. Exit codes: 0 stopped, 1 a part of it failed, 2 usage."""
    settings = read_settings(sys.argv[1:])
    sys.setrecursionlimit(_LEVELS)
    gc.set_threshold(_YOUNG)
    logs.set_up(settings.log_format)
    try:
        asyncio.run(application.run(settings))
    except ConfigException as error:
        sys.exit(f"pet-operator: no API server to speak with: {error}; give --kubeconfig")
    except ExceptionGroup as failed:
        known, faults = failed.split((LeadershipLost, CredentialsRefused))
        if faults is None and known is not None:  # no fault of ours, so there is nothing to trace
            _LOG.error("the operator ends: %s", "; ".join(map(str, known.exceptions)))
        else:
            _LOG.error("the operator ends", exc_info=failed)
        sys.exit(1)


def read_settings(argv: list[str]) -> Settings:
    """The command line. Ends the program with 2 where it cannot be read."""
    parser = argparse.ArgumentParser(prog="pet-operator", description="The Kubernetes controller of PetTrainingJobs.")
    parser.add_argument("--version", action="version", version=f"pet-operator {__version__}")
    parser.add_argument("--trainer-image", required=True, metavar="IMAGE", help="the image of jobs that name none")
    parser.add_argument("--kubeconfig", metavar="FILE", help="default: the pod's service account, else your kubeconfig")
    parser.add_argument("--namespace", action="append", default=[], metavar="NAME", help=_NAMESPACE_HELP)
    parser.add_argument("--lease-namespace", default=Settings.lease_namespace, metavar="NAME", help="(%(default)s)")
    parser.add_argument("--port", type=int, default=Settings.port, help="of /healthz, /readyz, /metrics (%(default)s)")
    parser.add_argument("--poll-seconds", type=float, default=Settings.poll_seconds, metavar="N", help=_POLL_HELP)
    parser.add_argument("--log-format", choices=logs.FORMATS, default=Settings.log_format, help="(%(default)s)")
    nodes = argparse.BooleanOptionalAction
    parser.add_argument("--watch-nodes", action=nodes, default=Settings.watch_nodes, help=_NODES_HELP)
    options = vars(parser.parse_args(argv))
    namespaces = frozenset(options.pop("namespace"))
    identity = os.environ.get("POD_NAME") or f"{socket.gethostname()}-{os.getpid()}"
    return Settings(namespaces=namespaces, identity=identity, **options)


if __name__ == "__main__":
    main()
