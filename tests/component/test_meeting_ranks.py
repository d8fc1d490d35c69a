"""Where the ranks of one start meet: a port that nobody else gets, and a store in which nobody else is heard."""

from __future__ import annotations

import errno
import socket
import struct
import sys
from pathlib import Path

import pytest
from harness.launcher import Bench, Launched, bench, eventually
from testbed.processes import free_port

IP_LOCAL_PORT_RANGE = 51  # of Linux 6.3 and later, not in Python's socket module

# Ranks say where they will meet and do so at a word, each at its own.
PROGRAM = """
import torch
from pet.engine.distributed import all_gather_objects, destroy_process_group, init_process_group
from pet.engine.errors import PeerLost

note("begun", port=int(os.environ["MASTER_PORT"]))
wait_for(f"go{RANK}")
if (FOLDER / f"strays{RANK}").exists():
    os.environ["MASTER_PORT"] = (FOLDER / f"strays{RANK}").read_text()
try:
    init_process_group(torch.device("cpu"), timeout_seconds=60, config_hash="the same")
    note("met", of=all_gather_objects(os.environ["PETJOB_UID"]))
    destroy_process_group()
except PeerLost:
    sys.exit(75)
"""


def port_of(job: Bench, ranks: int = 2) -> int:
    """Where they will meet, once all of them have said so."""
    eventually(lambda: len(job.journal("begun")) == ranks, "all ranks have begun")
    (port,) = {int(entry["port"]) for entry in job.journal("begun")}
    return port


def meet(job: Bench, launched: list[Launched], uid: str) -> None:
    """Its ranks meet, and nobody but them."""
    assert [node.wait() for node in launched] == [0] * len(launched), launched[0].err
    assert [entry["of"] for entry in job.journal("met")] == [[uid, uid]] * 2


def given_to_others(port: int) -> bool:
    """Whether somebody who asks for any free port may get this one."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, struct.pack("I", port | port << 16))
        try:
            other.bind(("", 0))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
        return True


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a port cannot be reserved for another process")
@pytest.mark.parametrize("nodes", [1, 2])
def test_nobody_else_gets_the_port_before_rank_0_has_opened_its_store(nodes: int, tmp_path: Path) -> None:
    with bench(tmp_path, PROGRAM) as job:
        launched = (
            job.launch_nodes(2, "--nproc", "1", PETJOB_UID="mine")
            if nodes == 2
            else [job.launch("--nproc", "2", PETJOB_UID="mine", PETJOB_ATTEMPT="1")]
        )
        port = port_of(job)
        assert given_to_others(free_port())
        assert not given_to_others(port)
        job.touch("go1")
        job.touch("go0")
        meet(job, launched, "mine")
        socket.create_server(("", port)).close()  # with the launcher's end it is free


def test_a_rank_that_comes_to_another_training_is_not_heard_there(tmp_path: Path) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    with bench(tmp_path / "here", PROGRAM) as here, bench(tmp_path / "there", PROGRAM) as there:
        once = {"PETJOB_ATTEMPT": "1", "PETJOB_RESTARTS_LEFT": "0"}
        launched = here.launch("--nproc", "2", PETJOB_UID="here", **once)
        stray = there.launch("--nproc", "2", PETJOB_UID="there", **once)
        port_of(there)
        (there.folder / "strays1").write_text(str(port_of(here)))
        here.touch("go0")
        there.touch("go1")
        there.touch("go0")
        here.touch("go1")
        meet(here, [launched], "here")
        assert stray.wait() == 75, stray.err
        assert there.journal("met") == []
