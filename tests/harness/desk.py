"""A user at a terminal: a kubeconfig, a namespace, `pet`; the status of the jobs there is written by the test."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.waiting import wait_for

from harness.commands import PET, Answer, pet
from harness.jobs import manifest
from harness.jobs_api import JobsApi


@dataclass
class Process:
    """`pet` in a process of its own, to be looked at and stopped while it runs."""

    process: subprocess.Popen[bytes]
    folder: Path

    @property
    def err(self) -> str:
        """What it has said so far, beside the result."""
        return (self.folder / "err").read_text()

    def says(self, text: str) -> None:
        """Wait until it has said so."""
        wait_for(f"{text!r} from pet", lambda: text in self.err)

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def end(self) -> Answer:
        """Wait for its end."""
        code = self.process.wait(60)
        return Answer(code, (self.folder / "out").read_text(), self.err)


@dataclass
class Desk:
    """One user, who works in one namespace."""

    folder: Path
    kubeconfig: Path
    namespace: str
    jobs: JobsApi

    @property
    def options(self) -> tuple[str, ...]:
        """What leads a command here."""
        return ("--kubeconfig", str(self.kubeconfig), "-n", self.namespace)

    def job(self, name: str, **status: Any) -> dict[str, Any]:
        """Make a job, with this status if any is given."""
        created = self.jobs.create(manifest(name))
        return self.jobs.set_status(name, observedGeneration=1, **status) if status else created

    def pet(self, command: str, *arguments: str) -> Answer:
        """Run `pet` in this process."""
        return pet(command, *arguments, *self.options)

    @contextmanager
    def start(self, command: str, *arguments: str) -> Iterator[Process]:
        """Run `pet` in a process of its own."""
        with (self.folder / "out").open("wb") as out, (self.folder / "err").open("wb") as err:
            process = subprocess.Popen(
                [sys.executable, *PET, command, *arguments, *self.options], stdout=out, stderr=err
            )
        try:
            yield Process(process, self.folder)
        finally:
            process.kill()
            process.wait()
