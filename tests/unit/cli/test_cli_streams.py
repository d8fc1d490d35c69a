"""What becomes of a command whose stdout or stderr cannot be written."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from harness.commands import PET, TIMEOUT
from harness.launcher import ROOT

from pet_operator.cli.local.command import read_one
from pet_operator.cli.local.folder import RunFolder
from pet_operator.cli.local.record import RunRecord

FULL = Path("/dev/full")
VALID = "crds/samples/fashion-mnist.yaml"
PACKAGES = {"PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("operator", "trainer"))}

pytestmark = pytest.mark.skipif(not FULL.exists(), reason="needs a file that is always full")


def run(*arguments: str, stdin: str = "", **streams: Any) -> subprocess.CompletedProcess[str]:
    """`pet` with stdout or stderr as given; the other one is read."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    return subprocess.run(
        [sys.executable, *PET, *arguments], cwd=ROOT, input=stdin, text=True, timeout=TIMEOUT, check=False,
        env={**os.environ, **PACKAGES}, **streams,
    )  # fmt: skip


@pytest.fixture
def full() -> Iterator[IO[str]]:
    """A file on a full disk."""
    with FULL.open("w") as file:
        yield file


@pytest.mark.parametrize(
    "arguments", [("plan", "-f", VALID), ("plan", "-f", VALID, "-o", "json"), ("--version",), ("run", "--help")]
)
def test_a_result_that_cannot_be_written_is_an_error(arguments: tuple[str, ...], full: IO[str]) -> None:
    done = run(*arguments, stdout=full)
    said = "error  stdout: No space left on device: the result is lost; write it somewhere else\n"
    assert (done.returncode, done.stderr) == (1, said)


def test_where_a_data_set_lies_is_a_result_like_any_other(fashion_mnist: Path, full: IO[str]) -> None:
    done = run("data", "fetch", "fashion-mnist", "--data", str(fashion_mnist), stdout=full)
    assert done.returncode == 1
    assert done.stderr.splitlines()[1:] == [
        "error  stdout: No space left on device: the result is lost; write it somewhere else"
    ]


def test_ctrl_c_ends_a_fetch_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "FashionMNIST").mkdir()
    with (tmp_path / "FashionMNIST/.fetch.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = [sys.executable, *PET, "data", "fetch", "fashion-mnist", "--data", str(tmp_path)]
        with subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **PACKAGES}, stderr=subprocess.PIPE, text=True, start_new_session=True
        ) as process:
            assert process.stderr is not None
            assert process.stderr.readline().startswith("waiting for another fetch into ")
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does
            assert (process.stderr.read(), process.wait(TIMEOUT)) == ("", 130)


def test_a_reader_that_is_gone_ends_a_command_without_a_word() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as pipe:
        done = run("plan", "-f", VALID, "-o", "json", stdout=pipe)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_reader_that_is_gone_does_not_change_how_a_training_has_ended(tmp_path: Path, form: str) -> None:
    result = {"name": "fashion-mnist", "phase": "Succeeded", "iteration": 8, "metrics": {}, "checkpoint": None,
              "resumedFrom": None, "failure": None, "output": str(tmp_path)}  # fmt: skip
    spec = read_one(str(ROOT / VALID), []).spec
    RunFolder(tmp_path).save(RunRecord("fashion-mnist", spec.hash, attempt=1, phase="Succeeded", result=result))
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as pipe:
        done = run("run", "--local", "-f", VALID, "--output", str(tmp_path), "-o", form, stdout=pipe)
    assert (done.returncode, done.stderr) == (0, "")


def test_remarks_that_cannot_be_written_change_nothing(full: IO[str]) -> None:
    done = run("plan", "-f", VALID, stderr=full)
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "fashion-mnist: valid")
    assert run("run", "--local", "-f", "-", stdin="{}", stderr=full).returncode == 78


def test_characters_that_the_encoding_lacks_are_shown_as_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    done = run("plan", "-f", VALID)
    assert (done.returncode, "1 node \\xd7 2 CPU ranks" in done.stdout) == (0, True)
