"""Where files come from: mirrors, apt, and Debian's servers, each with everything that they may do wrong."""

from __future__ import annotations

import gzip
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torchvision.datasets
from harness.downloads import ARCHIVES, CONTENTS, Server, debian_package, serving, small_dataset

from pet.data.fetch.debian import unpack
from pet.data.fetch.errors import SourceError
from pet.data.fetch.registry import DATASETS, RemoteDataset
from pet.data.fetch.sources import SOURCES, from_apt, from_mirrors, from_pool

PACKAGE = debian_package(ARCHIVES)
NAMES = sorted(ARCHIVES)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving({}) as running:
        yield running


@pytest.fixture
def use_mirrors(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def use(*mirrors: str) -> None:
        monkeypatch.setattr(torchvision.datasets.FashionMNIST, "mirrors", list(mirrors))

    return use


def filled(folder: Path) -> dict[str, bytes]:
    return {name: gzip.decompress((folder / f"{name}.gz").read_bytes()) for name in CONTENTS}


def test_the_order_is_mirrors_apt_debian() -> None:
    assert [source for _, source in SOURCES] == [from_mirrors, from_apt, from_pool]


def test_the_pins_are_four_files_and_one_package_of_debian() -> None:
    dataset = DATASETS["fashion-mnist"]
    assert len({file.sha256 for file in dataset.files}) == 4
    assert dataset.debian.host.startswith("https://")
    assert dataset.debian.pool_path.startswith(f"pool/main/d/{dataset.debian.name}/{dataset.debian.name}_")


def test_the_published_files_are_known_by_their_content(fashion_mnist: Path) -> None:
    first, *others = DATASETS["fashion-mnist"].files
    folder = fashion_mnist / "FashionMNIST"
    assert [other.is_at(folder / other.archive) for other in others] == [True] * 3
    assert not first.is_at(folder / others[0].archive)
    assert not first.is_at(folder / "absent")


def test_a_mirror_gives_the_files(tmp_path: Path, server: Server, use_mirrors: Callable[..., None]) -> None:
    server.files = {f"/fashion/{name}": content for name, content in ARCHIVES.items()}
    use_mirrors(f"{server.url}/fashion/")
    from_mirrors(small_dataset(), tmp_path)
    assert filled(tmp_path) == CONTENTS


def test_a_mirror_that_lies_is_passed_over(tmp_path: Path, server: Server, use_mirrors: Callable[..., None]) -> None:
    server.files = {f"/good/{name}": content for name, content in ARCHIVES.items()}
    server.files |= {f"/bad/{name}": b"<html>Please log in</html>" for name in ARCHIVES}
    use_mirrors(f"{server.url}/none", f"{server.url}/bad", f"{server.url}/good")
    from_mirrors(small_dataset(), tmp_path)
    assert filled(tmp_path) == CONTENTS


def test_the_error_names_each_mirror_and_its_reason(
    tmp_path: Path, server: Server, use_mirrors: Callable[..., None]
) -> None:
    server.files = {f"/bad/{name}": b"<html>" for name in ARCHIVES}
    use_mirrors(f"{server.url}/none", f"{server.url}/bad", "http://127.0.0.1:1")
    with pytest.raises(SourceError) as caught:
        from_mirrors(small_dataset(), tmp_path)
    none, bad, closed = str(caught.value).split("; ")
    assert none.startswith(f"{server.url}/none/{NAMES[0]}: HTTP Error 404")
    assert bad.startswith(f"{server.url}/bad/{NAMES[0]} is not the published file")
    assert closed.startswith("http://127.0.0.1:1/")
    assert "refused" in closed


def test_the_pinned_package_is_unpacked(tmp_path: Path, server: Server) -> None:
    server.files = {"/small.deb": PACKAGE}
    from_pool(small_dataset(server.url, PACKAGE), tmp_path)
    assert filled(tmp_path) == CONTENTS


def test_another_package_than_the_pinned_one_is_refused_unopened(tmp_path: Path, server: Server) -> None:
    server.files = {"/small.deb": PACKAGE + b"\0"}
    with pytest.raises(SourceError, match="the package's sha256 is"):
        from_pool(small_dataset(server.url, PACKAGE), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["package.deb"]


@pytest.mark.parametrize("compression", ["xz", "gz", "bz2", ""])
def test_every_usual_compression_of_a_package_is_read(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "small.deb"
    path.write_bytes(debian_package(ARCHIVES, compression, f"data.tar.{compression}".rstrip(".")))
    unpack(path, small_dataset(), tmp_path)
    assert filled(tmp_path) == CONTENTS


@pytest.mark.parametrize(
    ("package", "said"),
    [
        (b"<html>", "no ar archive"),
        (PACKAGE[:-100], "the package is cut short"),
        (PACKAGE[:8] + b"x" * 60, "damaged at byte 8"),
        (PACKAGE[:72], "has no data.tar"),
        (PACKAGE[:-100] + bytes(100), "small.deb is damaged"),
        (debian_package({NAMES[0]: ARCHIVES[NAMES[0]]}), f"has no file ./usr/share/datasets/small/{NAMES[1]}"),
        (debian_package(ARCHIVES, member="data.tar.zst"), "compressed with zstd"),
    ],
    ids=["no archive", "cut", "header", "no data", "overwritten", "file missing", "zstd"],
)
def test_a_damaged_package_says_how(tmp_path: Path, package: bytes, said: str) -> None:
    path = tmp_path / "small.deb"
    path.write_bytes(package)
    with pytest.raises(SourceError, match=said):
        unpack(path, small_dataset(), tmp_path)


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a program named apt-get, with the given shell lines, in front of the real one."""

    def install(lines: str) -> None:
        program = tmp_path / "bin" / "apt-get"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\n{lines}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", str(program.parent), prepend=":")

    return install


def apt_fetched(folder: Path) -> RemoteDataset:
    dataset = small_dataset()
    folder.mkdir()
    from_apt(dataset, folder)
    return dataset


def test_apt_downloads_with_a_state_of_its_own(tmp_path: Path, apt: Callable[[str], None]) -> None:
    (tmp_path / "the.deb").write_bytes(PACKAGE)
    apt(f"""
        echo "$@" >> {tmp_path}/calls
        case "$*" in *" download small-dataset") cp {tmp_path}/the.deb small-dataset_1_all.deb;; esac
    """)
    apt_fetched(tmp_path / "folder")
    assert filled(tmp_path / "folder") == CONTENTS
    update, downloading = (tmp_path / "calls").read_text().splitlines()
    assert update.endswith(" update")
    assert downloading.endswith(" download small-dataset")
    state = tmp_path / "folder" / "apt"
    for call in (update, downloading):
        assert f"-o Dir::State::lists={state / 'lists'}" in call
        assert f"-o Dir::Cache={state / 'cache'}" in call


def test_apt_that_fails_gives_its_last_words(tmp_path: Path, apt: Callable[[str], None]) -> None:
    apt("echo Reading; echo 'W: no network' >&2; echo 'E: Unable to locate package'; exit 100")
    with pytest.raises(
        SourceError, match="apt-get ended with 100: Reading / W: no network / E: Unable to locate package"
    ):
        apt_fetched(tmp_path / "folder")


def test_apt_that_leaves_no_package_is_no_source(tmp_path: Path, apt: Callable[[str], None]) -> None:
    apt("exit 0")
    with pytest.raises(SourceError, match="left no package"):
        apt_fetched(tmp_path / "folder")


def test_without_apt_the_source_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("apt-get") is None
    with pytest.raises(SourceError, match="apt-get is not installed"):
        apt_fetched(tmp_path / "folder")
