"""Fetches the data sets of the sample jobs: `python -m pet.data.fetch NAME --data DIR`, or `fetch()`. Needs no torch.

A file is taken from wherever it can be had; that it is the published one is known by the sha256 of its content.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from pet.config.errors import ConfigError
from pet.data.catalogue import FILE_SETS, find_file
from pet.data.fetch.errors import FetchError, SourceError
from pet.data.fetch.folder import alone_in, staging_in
from pet.data.fetch.registry import DATASETS, RemoteDataset, RemoteFile
from pet.data.fetch.sources import SOURCES, Source


def fetch(name: str, root: str | Path, *, report: Callable[[str], None] = print) -> Path:
    """Make sure that the data set `name` lies complete and intact below `root`; returns its folder.

    `report` takes one line at a time. Raises ConfigError for an unknown name or a folder that cannot be written,
    FetchError if no source had the data set.
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
    """What `fetch` does once the name is known. Only files that are missing or not the published ones are fetched."""
    folder = root / FILE_SETS[dataset.catalogue_name].folder
    try:
        if _needed(dataset, folder).files:
            with alone_in(folder, report):
                # Asked again: another process may have been at it while this one waited.
                _fill(_needed(dataset, folder), folder, report, sources)
    except OSError as error:  # those of sources are theirs
        raise ConfigError.of("data", f"{folder} cannot be used ({error}): mend it, or give another folder") from error
    report(f"{dataset.title} is complete in {folder}")
    return folder


def _needed(dataset: RemoteDataset, folder: Path) -> RemoteDataset:
    """The data set with only those files that are still to be fetched."""
    files = [file for file in dataset.files if not ((path := _present(dataset, folder, file)) and file.is_at(path))]
    return replace(dataset, files=tuple(files))


def _fill(
    needed: RemoteDataset, folder: Path, report: Callable[[str], None], sources: Sequence[tuple[str, Source]]
) -> None:
    if not needed.files:
        return
    wrong = [path for file in needed.files if (path := _present(needed, folder, file))]
    tried = [f"{path} is there, but is not the published file" for path in wrong]
    for title, source in sources:
        report(f"{needed.title}: trying {title} …")
        try:
            _take(needed, source, folder, wrong)
        except SourceError as error:
            report(f"{needed.title}: {title}: {error}")
            tried.append(f"{title}: {error}")
        else:
            return
    raise FetchError(_advice(needed, folder, tried))


def _take(needed: RemoteDataset, source: Source, folder: Path, wrong: Sequence[Path]) -> None:
    """Let the source fill a folder of its own, and move the files into place only when all of them are right."""
    with staging_in(folder) as staging:
        try:
            source(needed, staging)
        except OSError as error:  # everything of urllib, time-outs, full disks
            raise SourceError(str(error)) from error
        for file in needed.files:
            if not file.is_at(staging / file.archive):
                raise SourceError(f"{file.archive} is not the published file (sha256 of its content)")
        for path in wrong:
            os.replace(path, path.with_name(f"{path.name}.wrong"))
        for file in needed.files:
            os.replace(staging / file.archive, folder / file.archive)


def _present(dataset: RemoteDataset, folder: Path, file: RemoteFile) -> Path | None:
    """The file that the reader would open."""
    files = FILE_SETS[dataset.catalogue_name]
    return find_file(folder, files.inner, file.name, files.suffixes)


def _advice(needed: RemoteDataset, folder: Path, tried: Sequence[str]) -> str:
    files = "\n".join(f"  {file.archive}  (content sha256 {file.sha256})" for file in needed.files)
    attempts = "\n".join(f"  {line}" for line in tried)
    return (
        f"{needed.title} could not be fetched. Tried:\n{attempts}\n"
        f"Put these files into {folder.absolute()} by hand and start again:\n{files}"
    )
