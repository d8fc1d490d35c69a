"""What is written to the API server: JSON that its YAML reader takes for the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from pet_operator.kube.gateway import _encoded

TEXTS = ["🙂 smile", "é漢", "\x1b[31m", "\x00", "\x7f\x85\x9f", "\u2028 \ufeff \uffff", "\\ud83d", '"']


@pytest.mark.parametrize("text", TEXTS)
def test_every_text_arrives_by_json_and_by_yaml(text: str) -> None:
    data = _encoded({text: text})
    assert json.loads(data) == {text: text}
    assert yaml.safe_load(data.decode()) == {text: text}
    assert b"\\ud83d\\ude42" not in data, "a pair of escapes is no character in YAML"


def test_half_a_character_does_not_keep_the_rest_from_being_written() -> None:
    assert json.loads(_encoded({"message": "a\ud83db"})) == {"message": "a?b"}


def test_what_the_fast_encoder_refuses_is_written_all_the_same() -> None:
    deep: dict[str, Any] = {}
    for _ in range(300):
        deep = {"a": deep}
    for value in (2**70, deep):
        assert json.loads(_encoded({"value": value})) == {"value": value}
