"""What a process node is told by whoever starts it: where the API server is, which nodes it plays, what pods find."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class NodeSpec:
    """One Node. Nothing of it is measured on this machine: it is what the scheduler shall believe."""

    name: str
    gpus: int = 0
    cpu: str = "64"
    memory: str = "256Gi"
    pods: int = 110
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def capacity(self) -> dict[str, str]:
        """As in the Node's status."""
        gpus = {"nvidia.com/gpu": str(self.gpus)} if self.gpus else {}
        return {"cpu": self.cpu, "memory": self.memory, "ephemeral-storage": "1Ti", "pods": str(self.pods), **gpus}


@dataclass(frozen=True, kw_only=True)
class Image:
    """What every container finds, whatever image it names.

    `paths` leads from places in the image to places on this machine; a key that ends with a slash is a relative folder.
    `environ` is the image's environment, under the container's own.
    """

    working_dir: str
    paths: Mapping[str, str] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All of it. `folder` is the process node's own; files are given as text, since this travels as JSON."""

    server: str
    authority: str
    token: str
    serving_certificate: str
    serving_key: str
    folder: str
    nodes: tuple[NodeSpec, ...]
    image: Image

    @property
    def ready_file(self) -> Path:
        """The process node makes it when its nodes are registered and it has seen all pods."""
        return Path(self.folder, "ready")

    @property
    def faults_folder(self) -> Path:
        """Where faults are begun and ended."""
        return Path(self.folder, "faults")

    def save(self, path: Path) -> None:
        """Write it for the process node alone: the token is in it."""
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> Settings:
        """Read what `save` wrote."""
        values = json.loads(path.read_text())
        values["nodes"] = tuple(NodeSpec(**node) for node in values["nodes"])
        values["image"] = Image(**values["image"])
        return cls(**values)
