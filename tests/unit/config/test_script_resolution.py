"""From a file's place to its training script: one test for each odd corner of Pet's rule, and the rule itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pet.config import ConfigError, Script, resolve_script
from pet.config.scripts import PET_SCRIPTS

VISION = "tools/vision/train_net.py"
ALL = tuple(
    VISION if kind == "vision" else f"tools/{kind}/{name}/train_net.py"
    for kind, names in PET_SCRIPTS.items()
    for name in names
)


def script(cfg: str, type: str | None = None, available: tuple[str, ...] = ALL) -> str:
    return resolve_script(cfg, type, available).path


def problem(cfg: str, type: str | None = None, available: tuple[str, ...] = ALL) -> str:
    """The one problem of a file that has no script."""
    with pytest.raises(ConfigError) as caught:
        resolve_script(cfg, type, available)
    assert len(caught.value.problems) == 1
    return str(caught.value.problems[0])


@pytest.mark.parametrize("prefix", ["", "./", "/opt/pet/", "/home/me/vision/"])
def test_row_1_the_place_below_cfgs_decides(prefix: str) -> None:
    assert script(f"{prefix}cfgs/vision/COCO/a.yaml") == VISION
    assert script(f"{prefix}cfgs/projects/densepose/a.yaml") == "tools/projects/densepose/train_net.py"
    assert script(f"{prefix}cfgs/tasks/cls/Cifar/a.yaml") == "tools/tasks/cls/train_net.py"


def test_row_2_a_file_directly_in_projects_or_tasks_is_refused_with_the_names_there_are() -> None:
    assert problem("cfgs/projects/a.yaml").endswith(
        "names no projects folder; there are crowdcounting, densepose, fairmot"
    )
    assert "cls" in problem("cfgs/tasks/a.yaml")


def test_row_3_tutorials_belong_to_vision() -> None:
    assert script("cfgs/tutorials/a.yaml") == VISION


def test_row_4_ckpts_mirrors_cfgs() -> None:
    assert script("ckpts/vision/COCO/X/X.yaml") == VISION
    assert script("ckpts/tasks/cls/X/X.yaml") == "tools/tasks/cls/train_net.py"


@pytest.mark.parametrize(
    "cfg", ["a.yaml", "vision/a.yaml", "configs/vision/a.yaml", "cfgs/a.yaml", "cfgs\\vision\\a.yaml", ""]
)
def test_row_5_a_file_anywhere_else_is_refused_with_where_to_place_it(cfg: str) -> None:
    assert "place it under cfgs/vision/" in problem(cfg)


@pytest.mark.parametrize("type", [None, "tasks"])
def test_row_6_the_tutorials_misspelling_of_instance_is_read_with_a_warning(type: str | None) -> None:
    assert resolve_script("cfgs/tasks/instanse/a.yaml", type, ALL) == Script(
        "tools/tasks/instance/train_net.py", "tasks", "instance", ("tasks/instanse is read as tasks/instance",)
    )


def test_row_7_a_folder_that_only_begins_like_a_type_is_refused() -> None:
    assert "place it under" in problem("cfgs/visionary/a.yaml")


def test_row_8_the_path_is_normalised_first_and_strange_names_are_refused() -> None:
    assert script("cfgs/projects/../vision/a.yaml") == VISION
    assert script("cfgs//tasks/./cls/a.yaml") == "tools/tasks/cls/train_net.py"
    assert "only a-z, 0-9 and _ are allowed" in problem("cfgs/projects/Dense-Pose/a.yaml")
    assert "only a-z, 0-9 and _ are allowed" in problem("cfgs/tasks/cls\n/a.yaml")


@pytest.mark.parametrize("cfg", ["a.yaml", "cfgs/tasks/cls/a.yaml", "/anywhere/at/all"])
def test_row_9_type_vision_fits_any_path(cfg: str) -> None:
    assert script(cfg, "vision") == VISION


def test_row_10_a_given_type_takes_the_folder_after_it_and_the_one_below_cfgs_wins() -> None:
    assert script("my/projects/fairmot/a.yaml", "projects") == "tools/projects/fairmot/train_net.py"
    assert script("tasks/face/tasks/cls/a.yaml", "tasks") == "tools/tasks/cls/train_net.py"
    assert script("cfgs/tasks/cls/tasks/face/a.yaml", "tasks") == "tools/tasks/cls/train_net.py"


def test_row_11_a_given_type_without_its_folder_is_refused() -> None:
    assert "has no folder projects/<name>/" in problem("a.yaml", "projects")
    assert "names no tasks folder" in problem("x/tasks/a.yaml", "tasks")


def test_row_12_a_path_that_names_another_type_than_the_given_one_is_refused() -> None:
    assert problem("cfgs/projects/x/a.yaml", "tasks").endswith("which type tasks needs; the path names projects")


@pytest.mark.parametrize("type", [None, "", "none", "None"])
def test_row_13_a_type_that_is_absent_none_or_empty_is_unset(type: str | None) -> None:
    assert script("cfgs/tasks/cls/a.yaml", type) == "tools/tasks/cls/train_net.py"


@pytest.mark.parametrize(("type", "meant"), [("Tasks", "tasks"), ("project", "projects"), ("vison", "vision")])
def test_row_14_a_wrong_type_is_refused_with_the_nearest_name(type: str, meant: str) -> None:
    text = problem("cfgs/tasks/cls/a.yaml", type)
    assert text == f"type: {type!r} is none of vision, projects, tasks, did you mean {meant}?"


def test_row_15_a_script_that_does_not_exist_is_refused_with_those_that_do() -> None:
    here = ("tools/tasks/cls/train_net.py",)
    assert "does not exist, did you mean tools/tasks/cls/train_net.py?" in problem("cfgs/tasks/clss/a.yaml", None, here)
    assert "belongs to Pet but is not built yet; available: tools/tasks/cls/train_net.py" in problem(
        "cfgs/tasks/face/a.yaml", None, here
    )
    assert problem("cfgs/vision/a.yaml", None, ()).endswith("available: none")


def original(cfg: str, type: str | None) -> str | None:
    """Pet's own rule, by its description: words anywhere in the path, and the folder after the last one."""
    if type is None:
        type = next((kind for kind in ("vision", "projects", "tasks") if f"cfgs/{kind}" in cfg), None)
    if type == "vision":
        return VISION
    if type is None:
        return None
    return f"tools/{type}/{cfg.split(f'{type}/')[-1].split('/')[0]}/train_net.py"


# Folders that do not take part in the rule: no type's word in them.
folders = st.from_regex(r"[A-Za-z0-9_.-]{1,8}", fullmatch=True).filter(
    lambda name: set(name) != {"."} and not name.endswith(("vision", "projects", "tasks", "cfgs", "ckpts"))
)
names = st.from_regex(r"[a-z0-9_]{1,8}", fullmatch=True).filter(
    lambda name: name != "instanse" and not name.endswith(("projects", "tasks"))
)


@given(
    kind=st.sampled_from(["vision", "projects", "tasks"]),
    given_type=st.booleans(),
    prefix=st.lists(folders, max_size=3),
    root=st.sampled_from(["", "/", "./"]),
    name=names,
    inner=st.lists(folders, max_size=3),
    file=folders,
)
def test_wherever_pets_rule_is_defined_ours_is_equal(
    kind: str, given_type: bool, prefix: list[str], root: str, name: str, inner: list[str], file: str
) -> None:
    cfg = root + "/".join([*prefix, "cfgs", kind, *([] if kind == "vision" else [name]), *inner, f"{file}.yaml"])
    type = kind if given_type else None
    expected = original(cfg, type)
    assert expected is not None
    assert script(cfg, type, (expected,)) == expected


@given(
    cfg=st.text(max_size=40)
    | st.lists(
        st.sampled_from(["cfgs", "ckpts", "vision", "projects", "tasks", "tutorials", "cls", "..", ".", "", "a.yaml"]),
        max_size=7,
    ).map("/".join),
    type=st.none() | st.sampled_from(["vision", "projects", "tasks", "none"]) | st.text(max_size=8),
)
def test_any_path_gives_an_available_script_or_a_configuration_error(cfg: str, type: str | None) -> None:
    try:
        found = script(cfg, type)
    except ConfigError as error:
        found = None if error.problems else "refused without a reason"
    assert found in (None, *ALL)
