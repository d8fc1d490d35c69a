"""What the names in a checkpoint folder say."""

from __future__ import annotations

import pytest

from pet.store.names import aside, data_of, is_bad, manifest_of, parse_data


@pytest.mark.parametrize(("file", "resumable", "iteration"), [
    ("model_iter1000.pth", True, 1000),
    ("model_epoch3.pth", True, None),
    ("model_epoch3-89.12.pth", False, None),
    ("model_iter30-0.91.pth", False, None),
    ("model_error17.pth", False, None),
])  # fmt: skip
def test_a_data_file_tells_what_it_is(file: str, resumable: bool, iteration: int | None) -> None:
    name = parse_data(file)
    assert name is not None
    assert (name.resumable, name.iteration) == (resumable, iteration)
    assert data_of(manifest_of(file)) == file


@pytest.mark.parametrize("file", [
    "model_latest.pth", "model_iter.pth", "model_iter-1.pth", "model_iter007.pth", "model_iter1.pth.tmp",
    "Model_iter1.pth", ".bad-u-0-model_iter1.pth", "model_iter1.manifest.json", "../model_iter1.pth",
    "model_iter1.pth\n",
])  # fmt: skip
def test_other_files_are_no_checkpoints(file: str) -> None:
    assert parse_data(file) is None


def test_pairs_moved_aside_share_one_number_and_never_meet_an_older_name() -> None:
    names = ["model_iter1.manifest.json", "model_iter1.pth"]
    first = aside("bad", "u", names, taken=[])
    second = aside("bad", "u", names, taken=[first["model_iter1.pth"]])
    assert first["model_iter1.pth"] == ".bad-u-0-model_iter1.pth"
    assert second == {name: f".bad-u-1-{name}" for name in names}


@pytest.mark.parametrize(("name", "uid", "expected"), [
    (".bad-u-1-0-model_iter1.pth", None, True),
    (".bad-u-1-0-model_iter1.pth", "u-1", True),
    (".bad-u-1-0-model_iter1.pth", "u", False),
    (".bad-other-0-model_iter1.pth", "u-1", False),
    (".superseded-u-1-0-model_iter1.pth", None, False),
])  # fmt: skip
def test_files_found_corrupt_are_known_by_their_owner(name: str, uid: str | None, expected: bool) -> None:
    assert is_bad(name, uid) is expected
