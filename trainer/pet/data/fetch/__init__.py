"""Fetches the data sets of the sample jobs: `python -m pet.data.fetch NAME --data DIR`, or `fetch()`. Needs no torch.

A file is taken from wherever it can be had; that it is the published one is known by the sha256 of its content.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import tempfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from pet.config.errors import ConfigError
from pet.data.catalogue import FILE_SETS, find_file
from pet.data.fetch.errors import FetchError, SourceError
from pet.data.fetch.registry import DATASETS, RemoteDataset, RemoteFile
from pet.data.fetch.sources import SOURCES, Source

_CHUNK = 1 << 20


def fetch(name: str, root: str | Path, *, report: Callable[[str], None] = print) -> Path:
    """Make sure that the data set `name` lies complete and intact below `root`; returns its folder.

    `report` takes one line at a time. Raises ConfigError for an unknown name, FetchError if no source had it.
    """
    if name not in DATASETS:
        raise ConfigError.of("name", f"no data set {name!r} to fetch; there are: {', '.join(sorted(DATASETS))}")
    return fetch_dataset(DATASETS[name], Path(root), report=report)


def fetch_dataset(
    dataset: RemoteDataset,
    root: Path,
    *,
    report: Callable[[str], None],
    sources: Sequence[tuple[str, Source]] = SOURCES,
) -> Path:
    """What `fetch` does once the name is known."""
    folder = root / FILE_SETS[dataset.catalogue_name].folder
    folder.mkdir(parents=True, exist_ok=True)
    wrong = [path for file in dataset.files if (path := _present(dataset, folder, file)) and not _is_intact(path, file)]
    if not wrong and all(_present(dataset, folder, file) for file in dataset.files):
        report(f"{dataset.title} is complete in {folder}")
        return folder
    tried = [f"{path} is there, but is not the published file" for path in wrong]
    for title, source in sources:
        report(f"{dataset.title}: trying {title} …")
        try:
            _take(dataset, source, folder, wrong)
        except SourceError as error:
            report(f"{dataset.title}: {title}: {error}")
            tried.append(f"{title}: {error}")
        else:
            report(f"{dataset.title} is complete in {folder} (from {title})")
            return folder
    raise FetchError(_advice(dataset, folder, tried))


def _take(dataset: RemoteDataset, source: Source, folder: Path, wrong: Sequence[Path]) -> None:
    """Let the source fill a folder of its own, and move the files into place only when all of them are right."""
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as name:
        staging = Path(name)
        try:
            source(dataset, staging)
        except OSError as error:  # everything of urllib, time-outs, full disks
            raise SourceError(str(error)) from error
        for file in dataset.files:
            if not _is_intact(staging / file.archive, file):
                raise SourceError(f"{file.archive} is not the published file (sha256 of its content)")
        for path in wrong:
            os.replace(path, path.with_name(f"{path.name}.wrong"))
        for file in dataset.files:
            os.replace(staging / file.archive, folder / file.archive)


def _present(dataset: RemoteDataset, folder: Path, file: RemoteFile) -> Path | None:
    """The file that the reader would open."""
    files = FILE_SETS[dataset.catalogue_name]
    return find_file(folder, files.inner, file.name, files.suffixes)


def _is_intact(path: Path, file: RemoteFile) -> bool:
    """Whether the content has the published sha256. Gzip files are judged by what is in them: the mirrors' and Debian's
    differ in the header."""
    digest = hashlib.sha256()
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
    except (gzip.BadGzipFile, EOFError, zlib.error, FileNotFoundError):
        return False
    return digest.hexdigest() == file.sha256


def _advice(dataset: RemoteDataset, folder: Path, tried: Sequence[str]) -> str:
    files = "\n".join(f"  {file.archive}  (content sha256 {file.sha256})" for file in dataset.files)
    attempts = "\n".join(f"  {line}" for line in tried)
    return (
        f"{dataset.title} could not be fetched. Tried:\n{attempts}\n"
        f"Put these files into {folder.absolute()} by hand and start again:\n{files}"
    )
