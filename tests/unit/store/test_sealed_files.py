"""Sealed JSON, manifests and owner records prove themselves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from harness.stores import opened, save
from hypothesis import given
from hypothesis import strategies as st

from pet.store.errors import CheckpointUnusable, Corrupt
from pet.store.files import Digest
from pet.store.manifest import Manifest, encode_manifest, parse_manifest
from pet.store.owner import Owner, encode_owner, parse_owner
from pet.store.sealed import seal, unseal

MANIFEST = Manifest(1000, "model_iter1000.pth", 331_000_000, 123456, 4, "ab12", "2.15.0", 2, 26214400, "uid-1", 3, 1)
OWNER = Owner("cluster", "ns", "job", "uid-1", 2, 1, Digest(17, 99))

values = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5)


@given(st.dictionaries(st.text().filter(lambda key: key != "crc"), values))
def test_what_was_sealed_is_read_back(fields: dict[str, Any]) -> None:
    assert unseal(seal(fields)) == fields


def test_every_flipped_bit_of_a_manifest_is_found_or_changes_nothing() -> None:
    data = encode_manifest(MANIFEST)
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            assert parse_manifest(bytes(flipped), MANIFEST.name) == MANIFEST
        except Corrupt:
            continue


@pytest.mark.parametrize("data", [
    b"", b"\0" * 64, b"{}", b"[]", b"null", b'{"crc": 1}', b"\xff\xfe", b'{"a": 1, "crc": "x"}', b"[" * 100_000,
])  # fmt: skip
def test_what_is_no_sealed_file_is_corrupt(data: bytes) -> None:
    with pytest.raises(Corrupt):
        unseal(data)


def test_a_field_that_a_later_version_added_is_covered_by_the_checksum() -> None:
    fields = json.loads(encode_manifest(MANIFEST))
    del fields["crc"]
    data = seal({**fields, "epoch": 3})
    assert parse_manifest(data, MANIFEST.name) == MANIFEST
    with pytest.raises(Corrupt):
        parse_manifest(data.replace(b'"epoch":3', b'"epoch":4'), MANIFEST.name)


def test_a_manifest_uses_the_documented_keys() -> None:
    assert set(json.loads(encode_manifest(MANIFEST))) == {
        "format", "iteration", "file", "bytes", "crc32", "worldSize", "configHash", "torch", "threads", "bucketBytes",
        "ownerUid", "attempt", "restart", "crc",
    }  # fmt: skip


@pytest.mark.parametrize("changed", [
    replace(MANIFEST, file="model_iter2000.pth"),
    replace(MANIFEST, iteration=2000),
    replace(MANIFEST, file="../model_iter1000.pth"),
])  # fmt: skip
def test_a_manifest_under_another_name_is_corrupt(changed: Manifest) -> None:
    with pytest.raises(Corrupt):
        parse_manifest(encode_manifest(changed), MANIFEST.name)


@pytest.mark.parametrize(("key", "value"), [("iteration", "1000"), ("iteration", True), ("file", 5), ("bytes", None)])
def test_a_field_of_another_type_is_corrupt(key: str, value: object) -> None:
    fields = json.loads(encode_manifest(MANIFEST))
    del fields["crc"]
    with pytest.raises(Corrupt, match=key):
        parse_manifest(seal({**fields, key: value}), MANIFEST.name)


def test_a_manifest_of_a_later_format_stops_the_run_and_stays_where_it_is(tmp_path: Path) -> None:
    tenure, _ = opened(tmp_path)
    save(tenure, 10)
    fields = json.loads((tmp_path / "model_iter10.manifest.json").read_bytes())
    del fields["crc"]
    (tmp_path / "model_iter20.manifest.json").write_bytes(seal({**fields, "format": 2, "iteration": 20}))
    with pytest.raises(CheckpointUnusable, match="format 2"):
        opened(tmp_path)
    assert (tmp_path / "model_iter20.manifest.json").exists()


@pytest.mark.parametrize("owner", [OWNER, replace(OWNER, legacy=None), replace(OWNER, uid="local-1", cluster="")])
def test_an_owner_record_is_read_back(owner: Owner) -> None:
    assert parse_owner(encode_owner(owner)) == owner


def test_an_owner_record_uses_the_documented_keys() -> None:
    fields = json.loads(encode_owner(OWNER))
    assert {key: fields[key] for key in ("cluster", "namespace", "name", "uid", "attempt", "restart", "legacy")} == {
        "cluster": "cluster", "namespace": "ns", "name": "job", "uid": "uid-1", "attempt": 2, "restart": 1,
        "legacy": {"bytes": 17, "crc32": 99},
    }  # fmt: skip
