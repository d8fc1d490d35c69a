"""`python -m testbed.playground`: a cluster with Pet's operator on this machine, to try things on, until Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from testbed.control_plane import ControlPlane
from testbed.operator import Operator, install
from testbed.process_node import NodeSpec, ProcessNodes, checkout_image
from testbed.processes import Server, ServerFailed
from testbed.programs import KUBERNETES, BuildError, find

_CHECKOUT = Path(__file__).resolve().parents[2]
_NODES = (NodeSpec(name="cpu-0"), NodeSpec(name="gpu-0", gpus=8))
_LOOK_SECONDS = 1.0

_ELSEWHERE = """\
The playground runs on Linux only: its nodes run pods as processes, in a way that only Linux has.
Use a Linux machine or a virtual one (on macOS for example Lima or Colima, on Windows WSL2).
Without a cluster the same job runs everywhere: make demo
"""

_WELCOME = """
Kubernetes {version} runs on this machine, with Pet's operator and two nodes: cpu-0, and gpu-0 with 8 GPUs that exist
on paper only. Pods are processes here; what they say of their image counts for nothing. In another terminal:

    cd {checkout}
    export KUBECONFIG={kubeconfig}
    export PATH={kubectl}:{python}:$PATH

    kubectl apply -f crds/samples/fashion-mnist.yaml
    kubectl get ptj -w                       # state, step, ETA, loss, age of the checkpoint, live
    pet status fashion-mnist                 # all there is to know; the same as kubectl pet status fashion-mnist
    kubectl logs -f fashion-mnist-1-0        # what rank 0 says
    kubectl delete pod fashion-mnist-1-0     # another attempt goes on from the newest checkpoint
    pet wait fashion-mnist                   # until it has ended
    kubectl delete ptj fashion-mnist         # leaves the checkpoints: apply it again, and it goes on from there
    kubectl explain ptj.spec                 # the manual

Ctrl-C here ends all of it and removes it.
"""


def main() -> None:
    """Run until Ctrl-C or SIGTERM, which is the good end. Exit code 1: it could not start, or a part of it ended."""
    parser = argparse.ArgumentParser(prog="playground", description="A cluster to try things on, until Ctrl-C.")
    parser.add_argument("--data", type=Path, default=Path("data"), help="the root of all data sets (%(default)s)")
    data = parser.parse_args().data.absolute()
    if sys.platform != "linux":
        sys.exit(_ELSEWHERE)
    _on_stop(signal.default_int_handler)
    try:
        with ExitStack() as stack:
            try:
                _watch(_start(stack, data))
            finally:
                _on_stop(signal.SIG_IGN)  # nothing shall disturb the removal
    except KeyboardInterrupt:
        print("\nended; nothing is left", file=sys.stderr)
    except (BuildError, ServerFailed) as error:
        sys.exit(f"playground: {error}")


def _start(stack: ExitStack, data: Path) -> list[Server]:
    """Start everything, say how to use it, and return what must not end."""
    kubectl = find("kubectl")["kubectl"]
    command = [sys.executable, "-m", "pet.data.fetch", "fashion-mnist", "--data", str(data)]
    fetched = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    if fetched.returncode:
        sys.exit(fetched.returncode)
    with _said("the control plane"):
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pet-playground-")))
        plane = stack.enter_context(ControlPlane(folder))
    with _said("the nodes"):
        image = checkout_image(data=data, OMP_NUM_THREADS="1")
        nodes = stack.enter_context(ProcessNodes(plane, _NODES, image=image))
    with _said("the operator"):
        install(plane)
        operator = stack.enter_context(Operator(plane))
    welcome = _WELCOME.format(
        version=KUBERNETES.version,
        checkout=_CHECKOUT,
        kubeconfig=plane.kubeconfig(),
        kubectl=kubectl.parent,
        python=Path(sys.executable).parent,
    )
    print(welcome, flush=True)
    return [*plane.servers.values(), nodes.server, operator.server]


def _watch(servers: list[Server]) -> None:
    """For ever, unless one of them ends. Raises ServerFailed."""
    while all(server.running for server in servers):
        time.sleep(_LOOK_SECONDS)
    ended = next(server for server in servers if not server.running)
    raise ServerFailed(f"{ended.name} ended with {ended.exit_code}:\n{ended.tail()}")


def _on_stop(handler: Any) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


@contextmanager
def _said(what: str) -> Iterator[None]:
    print(f"starting {what} … ", end="", file=sys.stderr, flush=True)
    yield
    print("done", file=sys.stderr)


if __name__ == "__main__":
    main()
