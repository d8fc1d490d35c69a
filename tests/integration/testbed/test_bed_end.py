"""However a part of the bed ends, nothing of it is left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from testbed.control_plane import ControlPlane
from testbed.namespace import Namespace
from testbed.pods import Pods, alive, pid, pod, state
from testbed.process_node import NodeSpec, ProcessNodes
from testbed.waiting import wait_for

MARK = "TESTBED_OF"  # the variable by which a bed's processes are known

# A bed with a pod that has children in other sessions, for as long as nobody stops it.
BED = f"""
import os, sys, time
from pathlib import Path
from testbed.control_plane import ControlPlane
from testbed.namespace import Namespace
from testbed.pods import is_running, pod
from testbed.process_node import ProcessNodes, checkout_image

folder = Path(sys.argv[1])
image = checkout_image({MARK}=str(folder))
with ControlPlane(folder / "plane") as plane, ProcessNodes(plane, image=image, folder=folder / "nodes"):
    namespace = Namespace(plane, "default")
    namespace.create("pods", pod("p", "setsid sleep 1000 & (setsid sleep 1000 &); sleep 1000"))
    namespace.wait_for("pods", "p", "running", is_running)
    print(plane.url, flush=True)
    time.sleep(1000)
"""


@pytest.fixture
def own_nodes(control_plane: ControlPlane, tmp_path: Path) -> Iterator[Pods]:
    """A node that a test may end, and pods that are bound to it."""
    with (
        ProcessNodes(control_plane, [NodeSpec(name="own")], folder=tmp_path / "own") as nodes,
        Namespace(control_plane) as namespace,
    ):
        yield Pods(namespace, nodes)


def marked(folder: Path) -> list[str]:
    """The command lines of a bed's processes."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={folder}" in (process / "environ").read_text(errors="replace").split("\0") and alive(
                int(process.name)
            ):
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def refuses(host: str | None, port: int | None) -> bool:
    try:
        socket.create_connection((host or "", port or 0)).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_bed_that_is_stopped_or_killed_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environ = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "TMPDIR": str(temporary),
        MARK: str(tmp_path),
    }
    command = [sys.executable, "-c", BED, str(tmp_path)]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True, start_new_session=True) as bed:
        assert bed.stdout is not None
        url = urlsplit(bed.stdout.readline().strip())
        # Itself, four servers, the process node, a shim, a shell, three sleepers.
        wait_for("the whole bed", lambda: len(marked(tmp_path)) == 11)
        bed.send_signal(number)
        bed.wait()
    if number == signal.SIGINT:
        assert marked(tmp_path) == []
    else:
        wait_for("the end of all processes", lambda: not marked(tmp_path))
    wait_for("the end of its ports", lambda: refuses(url.hostname, url.port))  # a killed process may be slow in closing
    assert list(temporary.iterdir()) == []


def test_pods_of_a_process_node_that_died_are_lost(own_nodes: Pods) -> None:
    nodes, namespace = own_nodes.nodes, own_nodes.namespace
    namespace.create("configmaps", {"metadata": {"name": "c"}, "data": {}})
    running = own_nodes.start(pod("running", "echo ready; sleep 1000", nodeName="own"), says="ready")
    finished = own_nodes.run(pod("finished", "echo done", nodeName="own"))
    removed = own_nodes.run(pod("removed", "true", nodeName="own"))

    nodes.server.kill()
    wait_for("the end of the pod's process", lambda: not alive(pid(running)))
    namespace.delete("pods", "removed", grace=0)
    namespace.create("pods", pod("later", "true", nodeName="own"))
    nodes.start()

    lost = own_nodes.over("running")
    assert lost["status"]["phase"] == "Failed"
    ended = state(lost)["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (137, "ContainerStatusUnknown")
    assert ended["startedAt"] == state(running)["running"]["startedAt"]
    assert own_nodes.over("later")["status"]["phase"] == "Succeeded"
    assert own_nodes.over("finished")["status"] == finished["status"]
    assert nodes.log(finished) == "done\n"
    wait_for("the end of the removed pod's folder", lambda: not own_nodes.folder(removed).exists())


def test_what_happens_while_the_api_server_is_away_is_made_up_for(control_plane: ControlPlane, own_nodes: Pods) -> None:
    script = "until [ -e $HOME/go ]; do sleep 0.02; done; printf done >/dev/termination-log"
    running = own_nodes.start(pod("p", script, nodeName="own"))
    server = control_plane.servers["kube-apiserver"]
    server.kill()
    (own_nodes.folder(running) / "home" / "go").touch()
    wait_for("the end of the pod's process", lambda: not alive(pid(running)))
    server.start()
    server.wait_until(control_plane.is_ready)
    assert state(own_nodes.over("p"))["terminated"]["message"] == "done"
    own_nodes.delete("p")
    own_nodes.gone("p")


def test_a_process_node_that_stops_takes_its_nodes_and_processes_with_it(
    control_plane: ControlPlane, own_nodes: Pods
) -> None:
    running = own_nodes.start(pod("p", "trap '' TERM; echo ready; sleep 1000", nodeName="own"), says="ready")
    own_nodes.nodes.stop()
    assert not alive(pid(running))
    names = [node["metadata"]["name"] for node in control_plane.request("GET", "/api/v1/nodes")["items"]]
    assert "own" not in names
    own_nodes.delete("p", grace=0)  # nobody else would


def test_a_port_that_was_taken_meanwhile_is_not_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from testbed import control_plane as module

    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = iter([[*module.free_ports(4), taken.getsockname()[1]], module.free_ports(5)])
        monkeypatch.setattr(module, "free_ports", lambda number: next(ports))
        with ControlPlane(tmp_path) as plane:
            assert all(server.running for server in plane.servers.values())
