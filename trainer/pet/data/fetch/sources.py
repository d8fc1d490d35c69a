"""Where the files of a data set are taken from. Each source fills a folder with `<file>.gz`; the caller checks them."""

from __future__ import annotations

import hashlib
import importlib
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

from pet.data.fetch.debian import unpack
from pet.data.fetch.errors import SourceError
from pet.data.fetch.registry import RemoteDataset, RemoteFile

CONNECT_SECONDS = 10
_APT_SECONDS = 600

Source = Callable[[RemoteDataset, Path], None]


def from_mirrors(dataset: RemoteDataset, folder: Path) -> None:
    """The mirrors that the installed torchvision knows for this data set, one after the other."""
    try:
        mirrors: list[str] = getattr(importlib.import_module("torchvision.datasets"), dataset.torchvision_class).mirrors
    except (ImportError, RuntimeError) as error:  # RuntimeError: torch and torchvision that are no pair
        raise SourceError(f"torchvision cannot be imported: {error}") from error
    errors = []
    for mirror in mirrors:
        try:
            for file in dataset.files:
                _download_checked(f"{mirror.rstrip('/')}/{file.archive}", file, folder)
        except (OSError, SourceError) as error:
            errors.append(str(error))
        else:
            return
    raise SourceError("; ".join(errors))


def from_apt(dataset: RemoteDataset, folder: Path) -> None:
    """`apt-get download` into the folder, with a state of its own: needs neither root nor an earlier update."""
    if shutil.which("apt-get") is None:
        raise SourceError("apt-get is not installed")
    state = folder / "apt"
    for name in ("lists/partial", "cache/archives/partial"):
        (state / name).mkdir(parents=True)
    options = {
        "Dir::State::lists": str(state / "lists"),
        "Dir::Cache": str(state / "cache"),
        "APT::Sandbox::User": "root",  # as root, apt would change to a user who may not read this folder
        "Acquire::http::Timeout": str(CONNECT_SECONDS),
        "Acquire::Retries": "1",
    }
    command = ["apt-get", "-q", *(part for key, value in options.items() for part in ("-o", f"{key}={value}"))]
    _run([*command, "update"], folder)
    _run([*command, "download", dataset.debian.name], folder)
    package = next(folder.glob(f"{dataset.debian.name}_*.deb"), None)
    if package is None:
        raise SourceError("apt-get download left no package")
    unpack(package, dataset, folder)


def from_pool(dataset: RemoteDataset, folder: Path) -> None:
    """The pinned package from Debian's servers."""
    package = folder / "package.deb"
    download(f"{dataset.debian.host}/{dataset.debian.pool_path}", package)
    digest = hashlib.sha256(package.read_bytes()).hexdigest()
    if digest != dataset.debian.sha256:
        raise SourceError(f"the package's sha256 is {digest} instead of {dataset.debian.sha256}")
    unpack(package, dataset, folder)


def _download_checked(url: str, file: RemoteFile, folder: Path) -> None:
    """Checked here already, because another mirror may have the right one."""
    download(url, folder / file.archive)
    if not file.is_at(folder / file.archive):
        raise SourceError(f"{url} is not the published file (sha256 of its content)")


def download(url: str, path: Path) -> None:
    """Write what `url` serves to `path`. Raises OSError or SourceError; an answer cut short is one."""
    try:
        with urllib.request.urlopen(url, timeout=CONNECT_SECONDS) as answer, path.open("wb") as file:
            shutil.copyfileobj(answer, file)
            length = answer.headers.get("Content-Length")
            if length is not None and file.tell() != int(length):
                raise SourceError(f"{url} ended after {file.tell()} of {length} bytes")
    except HTTPException as error:
        raise SourceError(f"{url}: {error!r}") from error
    except OSError as error:
        raise SourceError(f"{url}: {error}") from error


def _run(command: list[str], folder: Path) -> None:
    """Run apt with its messages in English; the end of them is the error."""
    try:
        result = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_APT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SourceError(f"{command[0]} {command[-1]} did not end within {_APT_SECONDS} s") from error
    if result.returncode != 0:
        last = " / ".join(result.stdout.strip().splitlines()[-3:])
        raise SourceError(f"apt-get ended with {result.returncode}: {last}")


SOURCES: tuple[tuple[str, Source], ...] = (
    ("torchvision's mirrors", from_mirrors),
    ("apt-get download", from_apt),
    ("the package on Debian's servers", from_pool),
)
