"""The folder of a local run: checkpoints, logs, the embedded configuration, and a record that lets it go on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from pet.config import ConfigError
from pet.runfiles.atomic import replace_text
from pet.store.errors import CheckpointUnusable, Corrupt
from pet.store.folder import Folder
from pet.store.lock import FolderLock
from pet.store.manifest import NewerFormat
from pet_operator.cli.local.record import RunRecord


class RunFolder:
    """Paths below the output folder, and the record. Whatever cannot be made there raises ConfigError on `--output`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.numbers = self.checkpoints / "metrics.json"
        self.logs = path / "logs"
        self._record_file = path / "run.json"

    def termination_log(self, node: int) -> Path:
        """The last word of a node's launcher."""
        return self.logs / f"termination-{node}.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Have the folder, which is made if need be, to this process alone."""
        lock = FolderLock(self.path, field="--output")
        with self._written():
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def open(self, name: str, spec_hash: str) -> RunRecord:
        """The record of this folder, a new one if there is none. To be called under the lock.

        Raises ConfigError if the folder belongs to another job, or to this one, finished, with another spec.
        """
        record = self._read() or RunRecord(name, spec_hash)
        if record.name != name:
            raise ConfigError.of("--output", f"{self.path} belongs to the job {record.name!r}: give another folder")
        if record.spec_hash != spec_hash and record.phase == "Succeeded":
            raise ConfigError.of(
                "-f, --set",
                f"the job has changed since it was run in {self.path}, where it is {record.phase}: undo the change, "
                "or run it with --fresh in a new folder",
            )
        # A phase Running is of an attempt that was killed: who runs holds the lock.
        record.spec_hash = spec_hash
        return record

    def begin(self, record: RunRecord, nodes: int) -> list[BinaryIO]:
        """Record that an attempt begins; returns a log for the output of each node."""
        with self._written():
            self.logs.mkdir(parents=True, exist_ok=True)
            for node in range(nodes):
                self.termination_log(node).unlink(missing_ok=True)
            logs: list[BinaryIO] = [(self.logs / f"node-{node}.log").open("ab", buffering=0) for node in range(nodes)]
        self.save(record)
        return logs

    def lost(self, record: RunRecord) -> str:
        """The checkpoint that the record tells of if neither it nor any other is there any more, else empty."""
        told = record.result.get("checkpoint")
        return told["file"] if told and Folder(str(self.checkpoints)).deserted else ""

    def damage(self, record: RunRecord) -> str:
        """What has become of the checkpoint that the record tells of since it was saved; empty if it is whole.

        Raises ConfigError where only a later version of Pet can tell.
        """
        told = record.result.get("checkpoint")
        if not told:
            return ""
        folder = Folder(str(self.checkpoints))
        try:
            entry = folder.entry(told["file"])
            if entry is None:
                return f"{told['file']} has no manifest any more"
            folder.verify(entry)
        except (Corrupt, OSError) as error:
            return f"{told['file']} cannot be used any more: {error}"
        except NewerFormat as error:
            remedy = "run it with the version of Pet that it was run with, or with --fresh in a new folder"
            raise ConfigError.of("--output", f"{self.checkpoints}: {error}: {remedy}") from error
        return ""

    def newest(self) -> Mapping[str, Any] | None:
        """The newest checkpoint that verifies, in the form of a result's; None if there is none."""
        folder = Folder(str(self.checkpoints))
        with suppress(CheckpointUnusable, OSError):
            for entry in folder.entries():
                with suppress(Corrupt):
                    manifest = folder.verify(entry)
                    saved = datetime.fromtimestamp(os.stat(folder.at(manifest.file)).st_mtime, UTC)
                    return {
                        "iteration": manifest.iteration, "file": manifest.file, "bytes": manifest.bytes,
                        "savedAt": saved.strftime("%Y-%m-%dT%H:%M:%SZ"), "verified": True,
                    }  # fmt: skip
        return None

    def save(self, record: RunRecord) -> None:
        """Replace the record."""
        with self._written():
            replace_text(self._record_file, record.to_json(), durable=True)

    def write_config(self, cfg: str, text: str) -> Path:
        """Put an embedded configuration where its place under `cfgs/` still shows."""
        path = self.path / "config" / os.path.normpath(cfg)
        with self._written():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return path

    @contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ConfigError.of(
                "--output", f"{self.path} cannot be written to ({error}): give another folder, or mend this one"
            ) from error

    def _read(self) -> RunRecord | None:
        try:
            return RunRecord.from_json(self._record_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise ConfigError.of(
                "--output", f"{self._record_file} cannot be read ({error}): give another folder or remove the file"
            ) from error


def fresh(path: Path) -> Path:
    """The first of `path`, `path-2`, `path-3`, … that does not exist."""
    path = path if path.name.strip(".") else path.resolve()  # `.` and `..` have no name
    number, candidate = 1, path
    while os.path.exists(candidate):
        number += 1
        candidate = path.parent / f"{path.name}-{number}"
    return candidate
