from __future__ import annotations

import pytest

from pet.config import ConfigError
from pet.models.registry import Registry


def test_finds_what_was_registered() -> None:
    registry: Registry[type] = Registry("MODEL.BACKBONE")

    @registry.register("small")
    class Small:
        pass

    assert registry.find("small") is Small


def test_an_unknown_name_gets_the_nearest_one_and_the_list() -> None:
    registry: Registry[int] = Registry("MODEL.BACKBONE")
    registry.register("resnet50")(50)
    registry.register("slim_resnet")(1)
    with pytest.raises(ConfigError) as caught:
        registry.find("resnt50")
    [problem] = caught.value.problems
    assert problem.field == "MODEL.BACKBONE"
    assert problem.message == "no 'resnt50' is registered; did you mean resnet50? There are: resnet50, slim_resnet"


def test_a_name_that_resembles_nothing_gets_the_list_alone() -> None:
    registry: Registry[int] = Registry("MODEL.BACKBONE")
    registry.register("resnet50")(50)
    with pytest.raises(ConfigError, match=r"no 'x' is registered; There are: resnet50$"):
        registry.find("x")


def test_a_name_is_given_once() -> None:
    registry: Registry[int] = Registry("MODEL.BACKBONE")
    registry.register("small")(1)
    with pytest.raises(ValueError, match=r"'small' is registered for MODEL\.BACKBONE already, as 1"):
        registry.register("small")(2)
    assert registry.find("small") == 1
