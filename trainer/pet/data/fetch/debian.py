"""Unpacks the data files of a Debian package in Python, where no dpkg is installed: an ar archive around a tar archive.

Format: the manual page deb(5).
"""

from __future__ import annotations

import io
import lzma
import shutil
import tarfile
import zlib
from pathlib import Path

from pet.data.fetch.errors import SourceError
from pet.data.fetch.registry import RemoteDataset

_AR_MAGIC = b"!<arch>\n"
_AR_HEADER = 60


def unpack(package: Path, dataset: RemoteDataset, folder: Path) -> None:
    """Write every file of the data set that the package holds into `folder`. Raises SourceError if it is damaged."""
    name, data = _data_member(package.read_bytes())
    if name.endswith(".zst"):
        raise SourceError(f"{package.name} is compressed with zstd, which Python before 3.14 cannot read")
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:*") as archive:
            for file in dataset.files:
                _extract(archive, f"./{dataset.debian.folder}/{file.archive}", folder / file.archive)
    except (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError) as error:
        raise SourceError(f"{package.name} is damaged: {error}") from error


def _data_member(data: bytes) -> tuple[str, bytes]:
    """Name and content of the ar member `data.tar.*`."""
    if not data.startswith(_AR_MAGIC):
        raise SourceError("the package is no ar archive")
    position = len(_AR_MAGIC)
    while position + _AR_HEADER <= len(data):
        header = data[position : position + _AR_HEADER]
        name, size = header[:16].decode("ascii", "replace").strip().rstrip("/"), header[48:58].strip()
        if header[58:] != b"`\n" or not size.isdigit():
            raise SourceError(f"the package is damaged at byte {position}")
        position += _AR_HEADER
        if name.startswith("data.tar"):
            if position + int(size) > len(data):
                raise SourceError("the package is cut short")
            return name, data[position : position + int(size)]
        position += int(size) + int(size) % 2  # members begin at even positions
    raise SourceError("the package has no data.tar")


def _extract(archive: tarfile.TarFile, member: str, path: Path) -> None:
    try:
        stream = archive.extractfile(member)
    except KeyError:
        stream = None
    if stream is None:
        raise SourceError(f"the package has no file {member}")
    with stream, path.open("wb") as file:
        shutil.copyfileobj(stream, file)
