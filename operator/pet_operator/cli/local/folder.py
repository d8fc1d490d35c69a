"""The folder of a local run: checkpoints, logs, the embedded configuration, and a record that lets it go on."""

from __future__ import annotations

import json
import os
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pet.config import ConfigError

# As for a job in a cluster: what has begun keeps its spec, unless it is suspended or has failed.
EDITABLE = ("", "Suspended", "Failed")


@dataclass
class RunRecord:
    """What `run.json` holds. `phase` is empty before the first attempt."""

    name: str
    spec_hash: str
    uid: str = field(default_factory=lambda: f"local-{uuid.uuid4()}")
    attempt: int = 0
    phase: str = ""
    result: dict[str, Any] = field(default_factory=dict)


class RunFolder:
    """Paths below the output folder, and the record."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.logs = path / "logs"
        self._record_file = path / "run.json"

    def open(self, name: str, spec_hash: str) -> RunRecord:
        """The record of this folder, a new one if there is none.

        Raises ConfigError if the folder belongs to another job, or to this one with a spec that may not change any
        more.
        """
        record = self._read() or RunRecord(name, spec_hash)
        if record.name != name:
            raise ConfigError.of("--output", f"{self.path} belongs to the job {record.name!r}: give another folder")
        if record.spec_hash != spec_hash:
            if record.phase not in EDITABLE:
                raise ConfigError.of(
                    "-f",
                    f"the job has changed since it was run in {self.path}, where it is "
                    f"{record.phase}: undo the change, or run it with --fresh in a new folder",
                )
            record.spec_hash = spec_hash
        return record

    def save(self, record: RunRecord) -> None:
        """Replace the record."""
        self.path.mkdir(parents=True, exist_ok=True)
        temporary = self._record_file.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(record), indent=2) + "\n", encoding="utf-8")
        temporary.replace(self._record_file)

    def write_config(self, cfg: str, text: str) -> Path:
        """Put an embedded configuration where its place under `cfgs/` still shows."""
        path = self.path / "config" / os.path.normpath(cfg)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def _read(self) -> RunRecord | None:
        try:
            return RunRecord(**json.loads(self._record_file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise ConfigError.of(
                "--output", f"{self._record_file} cannot be read ({error}): give another folder or remove the file"
            ) from error


def fresh(path: Path) -> Path:
    """The first of `path`, `path-2`, `path-3`, … that does not exist."""
    number, candidate = 1, path
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.name}-{number}")
    return candidate
