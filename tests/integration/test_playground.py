"""`make playground`: it starts, runs a job, and leaves nothing behind."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from harness.commands import pet
from harness.launcher import ROOT
from testbed.programs import find
from testbed.waiting import wait_for

END = "Ctrl-C here ends all of it"
SECONDS = 120.0  # a bound against hanging, not an expectation


@dataclass
class Playground:
    """One that is up, and what it has told."""

    process: subprocess.Popen[bytes]
    told: str

    @property
    def kubeconfig(self) -> Path:
        """Where it says that it is."""
        return Path(re.findall(r"export KUBECONFIG=(\S+)", self.told)[0])

    def kubectl(self, *words: str) -> str:
        """What kubectl says, the one that it names."""
        folder = re.findall(r"export PATH=([^:]+):", self.told)[0]
        command = [f"{folder}/kubectl", f"--kubeconfig={self.kubeconfig}", *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, timeout=SECONDS).stdout

    def processes(self) -> list[str]:
        """The command lines of all that belongs to it: it is in a folder of its own."""
        folder = str(self.kubeconfig.parent)
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                words, environ = ((process / name).read_bytes().decode() for name in ("cmdline", "environ"))
            except (OSError, UnicodeDecodeError):
                continue
            if folder in words or folder in environ:
                found.append(words.replace("\0", " "))
        return found


@pytest.fixture
def playground(fashion_mnist: Path, tmp_path: Path) -> Iterator[Playground]:
    find("kubectl", "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")  # may take its time
    with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "testbed.playground", "--data", fashion_mnist],
            cwd=ROOT / "tests", stdout=out, stderr=err, start_new_session=True,
        )  # fmt: skip
    try:

        def up() -> bool:
            assert process.poll() is None, (tmp_path / "err").read_text()
            return END in (tmp_path / "out").read_text()

        wait_for("the playground", up, SECONDS)
        yield Playground(process, (tmp_path / "out").read_text())
    finally:
        process.kill()
        process.wait()


def test_it_runs_a_job_and_leaves_nothing_behind(playground: Playground) -> None:
    nodes = playground.kubectl("get", "nodes", "-o", r"jsonpath={.items[*].status.allocatable.nvidia\.com/gpu}")
    assert nodes == "8"
    assert len(playground.kubectl("get", "nodes", "-o", "name").split()) == 2
    playground.kubectl("apply", "-f", "crds/samples/fashion-mnist.yaml")
    options = ("--kubeconfig", str(playground.kubeconfig), "--timeout", str(SECONDS))
    answer = pet("wait", "fashion-mnist", "--for", "running", *options)
    assert answer.code == 0, answer
    assert [words for words in playground.processes() if "train_net.py" in words]

    playground.process.send_signal(signal.SIGINT)
    assert playground.process.wait(SECONDS) == 0
    assert not playground.kubeconfig.parent.exists()
    wait_for("the end of its processes", lambda: not playground.processes())
