"""What to start for a container on this machine: its command, variables and folders, with this machine's places."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from testbed.process_node.api import Api, Manifest
from testbed.process_node.environment import variables
from testbed.process_node.expansion import expand
from testbed.process_node.faults import Faults
from testbed.process_node.images import pull
from testbed.process_node.paths import Paths
from testbed.process_node.process import Runner
from testbed.process_node.rendezvous import Rendezvous
from testbed.process_node.settings import Image
from testbed.process_node.sources import Sources
from testbed.process_node.volumes import mounts

_SHARED_MEMORY = "/dev/shm"
_TERMINATION_LOG = "/dev/termination-log"
_RUN_DIR = "PETJOB_RUN_DIR"


@dataclass(frozen=True)
class Host:
    """What all pods of a node share; `api` is its line. `folder` holds a folder for each pod, by its uid."""

    api: Api
    image: Image
    runner: Runner
    rendezvous: Rendezvous
    faults: Faults
    folder: Path


@dataclass(frozen=True)
class Launch:
    """One container, ready to start."""

    command: list[str]
    working_dir: str
    environ: dict[str, str]
    termination_file: Path
    log: Path


def log_file(pods: Path, uid: str, container: str) -> Path:
    """Where a container's output is."""
    return pods / uid / f"{container}.log"


async def prepare(container: Manifest, pod: Manifest, volumes: Mapping[str, Path], host: Host) -> Launch:
    """Decide all of it, for a pod that has its address. Raises NotYet for what is to come, Unsupported."""
    pull(container.get("image", ""))
    uid, name = pod["metadata"]["uid"], container["name"]
    folder = host.folder / uid
    termination_file = folder / f"{name}.termination"
    termination_file.touch()
    paths = Paths(
        {
            _SHARED_MEMORY: _made(folder / "shm"),
            **host.image.paths,
            **mounts(container, volumes),
            container.get("terminationMessagePath") or _TERMINATION_LOG: termination_file,
        }
    )
    given = await variables(container, pod, Sources(host.api, pod))
    given |= await host.rendezvous.variables(given, pod)
    words = [*container["command"], *(container.get("args") or ())]
    own = {
        "HOSTNAME": pod["spec"].get("hostname") or pod["metadata"]["name"],
        "HOME": str(_made(folder / "home")),
        "TMPDIR": str(_made(folder / "tmp")),
    }
    environ = {**host.image.environ, **own, **{key: paths.replace(value) for key, value in given.items()}}
    if environ.get(_RUN_DIR) == "":  # by default the trainer takes /dev/shm, in no text of ours
        environ[_RUN_DIR] = paths.replace(_SHARED_MEMORY)
    return Launch(
        command=[paths.replace(expand(word, given)) for word in words],
        working_dir=paths.replace(container.get("workingDir") or "") or host.image.working_dir,
        environ=environ,
        termination_file=termination_file,
        log=log_file(host.folder, uid, name),
    )


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder
