"""The data sets that can be fetched, and where each may come from."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path

_CHUNK = 1 << 20
DEBIAN_HOST = "https://deb.debian.org/debian"


@dataclass(frozen=True)
class RemoteFile:
    """One file: `sha256` is that of its content, unpacked."""

    name: str
    sha256: str

    @property
    def archive(self) -> str:
        """The name it is fetched and kept under."""
        return f"{self.name}.gz"

    def is_at(self, path: Path) -> bool:
        """Whether `path` has the published content. Gzip files are judged by what is in them: the mirrors' and Debian's
        differ in the header."""
        digest = hashlib.sha256()
        try:
            with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
                while chunk := stream.read(_CHUNK):
                    digest.update(chunk)
        except (gzip.BadGzipFile, EOFError, zlib.error, FileNotFoundError):
            return False
        return digest.hexdigest() == self.sha256


@dataclass(frozen=True)
class DebianPackage:
    """A package of Debian that holds the files below `folder`; `sha256` is that of the .deb at `pool_path`."""

    name: str
    pool_path: str
    sha256: str
    folder: str
    host: str = DEBIAN_HOST


@dataclass(frozen=True)
class RemoteDataset:
    """A data set and its sources. `torchvision_class` names the class whose mirrors serve it."""

    title: str
    catalogue_name: str
    files: tuple[RemoteFile, ...]
    torchvision_class: str
    debian: DebianPackage


DATASETS = {
    "fashion-mnist": RemoteDataset(
        title="Fashion-MNIST",
        catalogue_name="fashion_mnist",
        files=(
            RemoteFile("train-images-idx3-ubyte", "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
            RemoteFile("train-labels-idx1-ubyte", "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
            RemoteFile("t10k-images-idx3-ubyte", "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
            RemoteFile("t10k-labels-idx1-ubyte", "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
        ),
        torchvision_class="FashionMNIST",
        debian=DebianPackage(
            name="dataset-fashion-mnist",
            pool_path="pool/main/d/dataset-fashion-mnist/dataset-fashion-mnist_0.0~git20200523.55506a9-1_all.deb",
            sha256="39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
            folder="usr/share/datasets/fashion-mnist",
        ),
    ),
}
