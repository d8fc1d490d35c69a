"""Fetching as a whole, from a real server on this machine."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from harness.downloads import ARCHIVES, CONTENTS, Server, serving, small_dataset

from pet.config import ConfigError
from pet.data.catalogue import resolve
from pet.data.fetch import fetch, fetch_dataset
from pet.data.fetch.__main__ import main
from pet.data.fetch.errors import FetchError, SourceError
from pet.data.fetch.registry import RemoteDataset
from pet.data.fetch.sources import Source, download

DATASET = small_dataset()
NAMES = sorted(ARCHIVES)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving({f"/{name}": content for name, content in ARCHIVES.items()}) as running:
        yield running


def from_server(url: str) -> Source:
    def source(dataset: RemoteDataset, folder: Path) -> None:
        for file in dataset.files:
            download(f"{url}/{file.archive}", folder / file.archive)

    return source


def refusing(reason: str) -> Source:
    def source(dataset: RemoteDataset, folder: Path) -> None:
        (folder / dataset.files[0].archive).write_bytes(b"half")
        raise SourceError(reason)

    return source


class Log(list[str]):
    """What was reported."""

    def __call__(self, line: str) -> None:
        self.append(line)


def fetched(root: Path, *sources: Source) -> tuple[Path, Log]:
    log = Log()
    named = [(f"source {number}", source) for number, source in enumerate(sources, start=1)]
    return fetch_dataset(DATASET, root, report=log, sources=named), log


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".fetch.lock")


def contents(folder: Path) -> dict[str, bytes]:
    return {name: gzip.decompress((folder / f"{name}.gz").read_bytes()) for name in CONTENTS}


def test_puts_the_files_where_the_reader_looks(tmp_path: Path, server: Server) -> None:
    folder, log = fetched(tmp_path / "data", from_server(server.url))
    assert folder == tmp_path / "data" / "FashionMNIST"
    assert contents(folder) == CONTENTS
    assert visible(folder) == NAMES
    assert [path.name for path in resolve("fashion_mnist_train", tmp_path / "data").files] == NAMES
    assert log == ["Small: trying source 1 …", f"Small is complete in {folder}"]


def test_what_is_complete_is_left_alone_even_where_nothing_can_be_written(tmp_path: Path, server: Server) -> None:
    folder, _ = fetched(tmp_path, from_server(server.url))
    (folder / ".fetch.lock").unlink()
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    _, log = fetched(tmp_path)
    assert log == [f"Small is complete in {folder}"]
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


@pytest.mark.parametrize("place", ["", "raw"])
def test_unpacked_files_and_those_in_raw_count_as_there(tmp_path: Path, place: str) -> None:
    folder = tmp_path / "FashionMNIST" / place
    folder.mkdir(parents=True)
    for name, content in CONTENTS.items():
        (folder / name).write_bytes(content)
    assert fetched(tmp_path)[1] == [f"Small is complete in {tmp_path / 'FashionMNIST'}"]


def test_only_what_is_missing_is_fetched(tmp_path: Path, server: Server) -> None:
    folder, _ = fetched(tmp_path, from_server(server.url))
    (folder / NAMES[1]).unlink()
    server.requests.clear()
    fetched(tmp_path, from_server(server.url))
    assert server.requests == [f"/{NAMES[1]}"]
    assert contents(folder) == CONTENTS


@pytest.mark.parametrize(
    "damaged",
    [b"", b"<html>", ARCHIVES[NAMES[0]][:-20], gzip.compress(b"another set")],
    ids=["empty", "html", "cut", "other"],
)
def test_a_wrong_file_is_replaced_and_kept_under_another_name(tmp_path: Path, server: Server, damaged: bytes) -> None:
    folder, _ = fetched(tmp_path, from_server(server.url))
    (folder / NAMES[0]).write_bytes(damaged)
    fetched(tmp_path, from_server(server.url))
    assert contents(folder) == CONTENTS
    assert visible(folder) == sorted([*NAMES, f"{NAMES[0]}.wrong"])
    assert (folder / f"{NAMES[0]}.wrong").read_bytes() == damaged


def test_the_next_source_is_tried_and_the_others_are_not(tmp_path: Path, server: Server) -> None:
    def never(dataset: RemoteDataset, folder: Path) -> None:
        raise AssertionError

    folder, log = fetched(tmp_path, refusing("is closed"), from_server(server.url), never)
    assert contents(folder) == CONTENTS
    assert log[:-1] == ["Small: trying source 1 …", "Small: source 1: is closed", "Small: trying source 2 …"]


def not_found(server: Server) -> None:
    del server.files[f"/{NAMES[1]}"]


def other_bytes(server: Server) -> None:
    server.files[f"/{NAMES[1]}"] = gzip.compress(b"something else")


def a_page(server: Server) -> None:
    server.files[f"/{NAMES[1]}"] = b"<html>Please log in</html>"


def cut_short(server: Server) -> None:
    server.cut_at = -5


@pytest.mark.parametrize(
    ("misbehave", "said"),
    [
        (not_found, "HTTP Error 404"),
        (other_bytes, f"{NAMES[1]} is not the published file"),
        (a_page, f"{NAMES[1]} is not the published file"),
        (cut_short, f"ended after {len(ARCHIVES[NAMES[0]]) - 5} of {len(ARCHIVES[NAMES[0]])} bytes"),
    ],
)
def test_what_is_not_the_published_file_leaves_nothing_behind(
    tmp_path: Path, server: Server, misbehave: Callable[[Server], None], said: str
) -> None:
    misbehave(server)
    with pytest.raises(FetchError, match=said):
        fetched(tmp_path, from_server(server.url))
    assert visible(tmp_path / "FashionMNIST") == []


def test_the_error_lists_what_was_tried_and_what_to_do_by_hand(tmp_path: Path) -> None:
    folder = tmp_path / "FashionMNIST"
    folder.mkdir()
    (folder / NAMES[0]).write_bytes(b"wrong")
    with pytest.raises(FetchError) as caught:
        fetched(tmp_path, refusing("is closed"), refusing("is not there"))
    lines = str(caught.value).splitlines()
    assert lines[:5] == [
        "Small could not be fetched. Tried:",
        f"  {folder / NAMES[0]} is there, but is not the published file",
        "  source 1: is closed",
        "  source 2: is not there",
        f"Put these files into {folder} by hand and start again:",
    ]
    assert lines[5:] == [f"  {file.archive}  (content sha256 {file.sha256})" for file in DATASET.files]
    assert visible(folder) == [NAMES[0]]


def test_a_folder_that_cannot_be_written_is_an_error_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"data: .*file/FashionMNIST cannot be used \(.*Not a directory"):
        fetched(tmp_path / "file")


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that cannot be read")
def test_a_file_that_cannot_be_read_is_an_error_of_the_user(tmp_path: Path) -> None:
    folder = tmp_path / "FashionMNIST"
    folder.mkdir()
    (folder / NAMES[0]).symlink_to("/proc/self/mem")
    with pytest.raises(ConfigError, match=r"data: .*FashionMNIST cannot be used \(.*error"):
        fetched(tmp_path)


def test_an_unknown_name_lists_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no data set 'cifar' to fetch; there are: fashion-mnist"):
        fetch("cifar", tmp_path)


def test_the_program_prints_the_folder_and_ends_with_the_class_of_its_error(
    tmp_path: Path, fashion_mnist: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fashion-mnist", "--data", str(fashion_mnist)]) == 0
    assert capsys.readouterr().out == f"{fashion_mnist / 'FashionMNIST'}\n"
    assert main(["cifar", "--data", str(tmp_path)]) == 78
    assert "there are: fashion-mnist" in capsys.readouterr().err


CHILD = """
import sys
from pathlib import Path
from harness.downloads import small_dataset
from pet.data.fetch import fetch_dataset
from pet.data.fetch.sources import download

def source(dataset, folder):
    for file in dataset.files:
        download(f"{sys.argv[2]}/{file.archive}", folder / file.archive)

fetch_dataset(small_dataset(), Path(sys.argv[1]), report=lambda line: print(line, flush=True),
              sources=[("the server", source)])
"""


def start(root: Path, server: Server) -> subprocess.Popen[str]:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, "-c", CHILD, str(root), server.url], env=environ, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)  # fmt: skip


def read_until(process: subprocess.Popen[str], wanted: str) -> Sequence[str]:
    lines: list[str] = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        if wanted in line:
            return lines
    raise AssertionError(f"{wanted!r} was not said: {lines}")


def test_two_processes_fetch_once(tmp_path: Path, server: Server) -> None:
    server.hold.clear()
    first = start(tmp_path, server)
    assert server.asked.wait(60)
    second = start(tmp_path, server)
    read_until(second, "waiting for another fetch")
    server.hold.set()
    outputs = [process.communicate(timeout=60)[0] for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], outputs
    assert sorted(server.requests) == sorted(f"/{name}" for name in NAMES)
    assert contents(tmp_path / "FashionMNIST") == CONTENTS
    assert visible(tmp_path / "FashionMNIST") == NAMES


def test_after_a_fetch_was_killed_the_next_one_clears_up_and_completes(tmp_path: Path, server: Server) -> None:
    server.hold.clear()
    killed = start(tmp_path, server)
    assert server.asked.wait(60)
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=60)
    server.hold.set()
    [left] = visible(tmp_path / "FashionMNIST")
    assert left.startswith(".fetch-")
    folder, _ = fetched(tmp_path, from_server(server.url))
    assert contents(folder) == CONTENTS
    assert visible(folder) == NAMES
