"""Files, embedded text and lists into a configuration: what is taken, and how everything wrong is reported at once."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pet.config import ConfigError, Problem, get_base_cfg
from pet.config.defaults import SCRIPTS
from pet.config.values import write_text


def problems_of(text: str, script: str = "cls") -> dict[str, str]:
    """Field and message of everything that is wrong with a text."""
    with pytest.raises(ConfigError) as caught:
        get_base_cfg(script).merge_from_text(text)
    return {problem.field: problem.message for problem in caught.value.problems}


def test_a_file_is_merged_over_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("SOLVER: {OPTIMIZER: {BASE_LR: 1}, SNAPSHOT_ITER: 5}\nTRAIN: {DATASETS: [a, b]}\n")
    cfg = get_base_cfg("cls")
    cfg.merge_from_file(str(file))
    assert cfg.SOLVER.OPTIMIZER.BASE_LR == 1.0
    assert isinstance(cfg.SOLVER.OPTIMIZER.BASE_LR, float)
    assert cfg.SOLVER.SNAPSHOT_ITER == 5
    assert cfg.TRAIN.DATASETS == ("a", "b")
    assert cfg.SOLVER.OPTIMIZER.MOMENTUM == 0.9


def test_all_that_is_wrong_with_a_file_is_reported_at_once_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("SOLVER:\n  OPTIMIZR: {BASE_LR: 1}\n  SNAPSHOT_ITER: often\nTRAIN:\n  BATCH_SIZE: 0\nCKPT: here\n")
    with pytest.raises(ConfigError) as caught:
        get_base_cfg("cls").merge_from_file(str(file))
    assert [str(problem) for problem in caught.value.problems] == [
        f"SOLVER.OPTIMIZR: no such key, did you mean SOLVER.OPTIMIZER? ({file}, line 2)",
        f"SOLVER.SNAPSHOT_ITER: 'often' is not a whole number; the default is 10000 ({file}, line 3)",
        f"TRAIN.BATCH_SIZE: 0 is too small; the least is 1 ({file}, line 5)",
        f"CKPT: this is MISC.CKPT since Pet 0.6 ({file}, line 6)",
    ]


def test_what_is_right_in_a_source_is_taken_even_if_something_else_is_wrong() -> None:
    cfg = get_base_cfg("cls")
    with pytest.raises(ConfigError):
        cfg.merge_from_text("SOLVER: {SNAPSHOT_ITER: 7, NONSENSE: 1}")
    assert cfg.SOLVER.SNAPSHOT_ITER == 7


@pytest.mark.parametrize("key", ["CKPT", "DEVICE", "DATALOADER"])
def test_a_key_from_before_pet_0_6_is_refused_with_its_new_name(key: str) -> None:
    new = {"CKPT": "MISC.CKPT", "DEVICE": "MISC.DEVICE", "DATALOADER": "DATA.LOADER_THREADS"}[key]
    value = "{NUM_WORKERS: 4}" if key == "DATALOADER" else "x"
    assert new in problems_of(f"{key}: {value}")[key]


@pytest.mark.parametrize("text", ["", "# only a comment\n", "{}", "null", "---\n"])
def test_an_empty_text_is_refused(text: str) -> None:
    assert "is empty" in problems_of(text)["config"]


@pytest.mark.parametrize("text", ["3", "[a, b]", "just text"])
def test_a_text_that_is_no_mapping_is_refused(text: str) -> None:
    assert "is not a mapping of sections" in problems_of(text)["config"]


@pytest.mark.parametrize(
    ("number", "message"),
    [
        ("010", "010 is octal in YAML 1.1, and so 8; write 10 or 8 (line 2 of config)"),
        ("1:20", "1:20 is a number of base 60 in YAML 1.1"),
    ],
)
def test_a_number_that_the_versions_of_yaml_read_differently_is_refused(number: str, message: str) -> None:
    assert message in problems_of(f"TRAIN:\n  BATCH_SIZE: {number}")["TRAIN.BATCH_SIZE"]


def test_several_documents_are_refused() -> None:
    assert "2 YAML documents" in problems_of("MISC: {SEED: 1}\n---\nMISC: {SEED: 2}")["config"]


@pytest.mark.parametrize(
    "text", ["A: [", "A: 'open", "\t: x", "TRAIN: {DATASETS: 2021-13-45}", "A: !!python/object:os.x {}"]
)
def test_a_text_that_is_no_yaml_is_refused(text: str) -> None:
    found = problems_of(text)
    assert "is not valid YAML" in found.get("config", "") or "no such key" in found.get("A", "")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<<: 3", "expected a mapping or list of mappings for merging"),
        ("MISC: {<<: [3]}", "expected a mapping for merging"),
        ('MISC: {SEED: !!int ""}', "this is no int in "),
        ('MISC: {SEED: !!float ""}', "this is no float in "),
        ("MISC: {SEED: !!bool maybe}", "this is no bool in "),
        ("MISC: {SEED: !!timestamp today}", "this is no timestamp in "),
        ("TRAIN: {DATASETS: 2021-13-45}", "this is no timestamp in "),
    ],
)
def test_what_is_not_what_it_claims_to_be_is_refused_with_its_place(text: str, reason: str) -> None:
    message = problems_of(text)["config"]
    assert message.startswith("is not valid YAML: ")
    assert reason in message
    assert "line 1, column" in message


def test_a_key_that_is_written_twice_is_refused_beside_all_other_problems() -> None:
    found = problems_of("SOLVER:\n  SNAPSHOT_ITER: 1\n  SNAPSHOT_ITER: 2\nNONSENSE: 1\n")
    assert found["SOLVER.SNAPSHOT_ITER"].startswith("is written twice, in lines 2 and 3 of config")
    assert "NONSENSE" in found


def test_a_merge_key_may_be_overridden() -> None:
    cfg = get_base_cfg("cls")
    cfg.merge_from_text("TRAIN: &both {DATASETS: [a]}\nTEST: {<<: *both, DATASETS: [b]}")
    assert (cfg.TRAIN.DATASETS, cfg.TEST.DATASETS) == (("a",), ("b",))


def test_a_section_cannot_be_a_value_and_a_value_no_section() -> None:
    found = problems_of("SOLVER: 3\nVIS:\nMISC: {SEED: {DEEP: 1}}")
    assert found["SOLVER"].startswith("is a section and cannot be 3; set its keys, for example SOLVER.")
    assert found["VIS"].startswith("is a section and cannot be None")
    assert "is not a whole number" in found["MISC.SEED"]


@pytest.mark.parametrize("notes", ["[{BOX: 38.1, date: 2021-08-01}]", "{free: text}", "a word", "3", "[&a [*a]]"])
def test_records_of_past_results_are_never_refused(notes: str) -> None:
    cfg = get_base_cfg("cls")
    cfg.merge_from_text(f"EVAL: {{RECORD: {notes}}}")
    assert isinstance(cfg.EVAL.RECORD, list)
    assert cfg.dump()


def test_a_key_whose_default_is_none_has_a_type() -> None:
    assert "is not a whole number or None" in problems_of("SOLVER: {SNAPSHOT_EPOCHS: soon}")["SOLVER.SNAPSHOT_EPOCHS"]


def test_numbers_outside_their_range_and_nan_are_refused() -> None:
    found = problems_of("MISC: {SEED: -1, DISPLAY_ITER: 0}\nSOLVER: {EMA: {DECAY: 2}, OPTIMIZER: {BASE_LR: .nan, "
                        "CLIP_GRADIENTS: {CLIP_VALUE: .inf, NORM_TYPE: .inf}}}")  # fmt: skip
    assert found["MISC.SEED"].startswith("-1 is too small; the least is 0")
    assert found["SOLVER.EMA.DECAY"].startswith("2 is too large; the most is 1")
    assert found["SOLVER.OPTIMIZER.BASE_LR"].startswith("nan is not a finite number")
    assert found["SOLVER.OPTIMIZER.CLIP_GRADIENTS.CLIP_VALUE"].startswith("inf is not a finite number")
    assert "SOLVER.OPTIMIZER.CLIP_GRADIENTS.NORM_TYPE" not in found


@pytest.mark.parametrize(
    ("key", "value", "most"),
    [
        ("DATA.LOADER_THREADS", 10**6, "1024"),
        ("MODEL.NUM_CLASSES", 10**18, "1000000"),
        ("TRAIN.BATCH_SIZE", 10**9, "1048576"),
        ("TEST.IMS_PER_GPU", 10**9, "1048576"),
        ("TRAIN.RESIZE.SCALES", [224, 10**6], "16384"),
        ("TRAIN.RANDOM_CROP.CROP_SCALES", [[32, 10**6]], "16384"),
        ("MODEL.SLIM_RESNET.WIDTHS", [10**6], "8192"),
        ("SOLVER.SCHEDULER.TOTAL_EPOCHS", 10**7, "1000000"),
        ("SOLVER.SCHEDULER.TOTAL_ITERS", 10**10, "1000000000"),
        ("SOLVER.SNAPSHOT_ITER", 10**30, "9.223372037e+18"),
        ("SOLVER.SNAPSHOT_KEEP", "0x" + "f" * 5000, "9.223372037e+18"),
    ],
)
def test_what_would_exhaust_a_machine_is_refused(key: str, value: object, most: str) -> None:
    with pytest.raises(ConfigError) as caught:
        get_base_cfg("cls").merge_from_list([key, value])
    [problem] = caught.value.problems
    assert problem.field == key
    assert f"is too large; the most is {most} (" in problem.message


def test_text_with_control_characters_is_refused() -> None:
    found = problems_of('TRAIN: {WEIGHTS: "a\\0b", DATASETS: ["a\\e[31m"]}')
    assert found["TRAIN.WEIGHTS"].startswith(r"'a\x00b' holds the control character '\x00'; leave it out")
    assert r"'\x1b'" in found["TRAIN.DATASETS"]


def test_half_of_a_character_is_refused() -> None:
    for text in ('MISC: {CKPT: "\\ud800"}', "MISC: {CKPT: \ud800}"):
        with pytest.raises(ConfigError, match=r"^config: is not valid YAML"):
            get_base_cfg("cls").merge_from_text(text)
    with pytest.raises(ConfigError, match=r"^MISC.CKPT: .*'\\ud800'"):
        get_base_cfg("cls").merge_from_list(["MISC.CKPT", "\ud800"])


def test_a_key_without_a_name_is_reported_by_its_source() -> None:
    assert problems_of('"": 1')["config"].startswith("gives 1 to a key without a name")
    with pytest.raises(ConfigError, match=r"^command line: gives '1' to a key without a name; name it"):
        get_base_cfg("cls").merge_from_list(["", "1"])


def test_a_list_gives_keys_and_values_in_turn() -> None:
    cfg = get_base_cfg("cls")
    cfg.merge_from_list(
        ["SOLVER.OPTIMIZER.BASE_LR", "0.1", "TRAIN.DATASETS", "('a',)", "SOLVER.SNAPSHOT_EPOCHS", "None"]
    )
    assert cfg.SOLVER.OPTIMIZER.BASE_LR == 0.1
    assert cfg.TRAIN.DATASETS == ("a",)


def test_all_that_is_wrong_with_a_list_is_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        get_base_cfg("cls").merge_from_list(["BASE_LR", "0.1", "MISC.SEED", "x", "MISC.CUDNN"])
    assert [str(problem) for problem in caught.value.problems] == [
        "BASE_LR: no such key, did you mean SOLVER.OPTIMIZER.BASE_LR? (command line)",
        "MISC.SEED: 'x' is not a whole number; the default is 0 (command line)",
        "MISC.CUDNN: has no value; give KEY VALUE pairs (command line)",
    ]


def test_a_file_that_cannot_be_read_is_a_configuration_error(tmp_path: Path) -> None:
    binary = tmp_path / "b.yaml"
    binary.write_bytes(b"\xff\xfe\xfa")
    for path, message in ((tmp_path / "none.yaml", "No such file"), (tmp_path, "directory"), (binary, "decode")):
        with pytest.raises(ConfigError, match=message):
            get_base_cfg("cls").merge_from_file(str(path))


def test_a_frozen_configuration_does_not_change() -> None:
    cfg = get_base_cfg("cls")
    cfg.freeze()
    with pytest.raises(AttributeError):
        cfg.merge_from_list(["MISC.SEED", "1"])


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_dumped_configuration_is_read_back_the_same(script: str) -> None:
    cfg = get_base_cfg(script)
    again = get_base_cfg(script)
    again.merge_from_text(cfg.dump())
    assert dict(again.leaves()) == dict(cfg.leaves())


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_default_can_be_given_on_a_command_line(script: str) -> None:
    cfg = get_base_cfg(script)
    pairs = [word for name, value in cfg.leaves() for word in (name, write_text(value))]
    again = get_base_cfg(script)
    again.merge_from_list(pairs)
    assert dict(again.leaves()) == dict(cfg.leaves())


def test_a_configuration_survives_copy_and_pickle() -> None:
    cfg = get_base_cfg("cls")
    cfg.freeze()
    for again in (copy.deepcopy(cfg), pickle.loads(pickle.dumps(cfg)), cfg.clone()):
        assert dict(again.leaves()) == dict(cfg.leaves())
        assert again.schema is cfg.schema
        assert again.is_frozen()


def refusal(text: str) -> tuple[Problem, ...] | None:
    """What is wrong with a text, None if it is taken."""
    try:
        get_base_cfg("cls").merge_from_text(text)
    except ConfigError as error:
        return error.problems
    return None


@given(st.text(max_size=60))
def test_any_text_is_merged_or_refused_with_what_is_wrong(text: str) -> None:
    assert refusal(text) != ()


yaml_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(sorted(name for name, _ in get_base_cfg("cls").leaves())), yaml_values)
def test_any_value_for_a_key_is_taken_as_its_type_or_refused_by_its_name(name: str, value: object) -> None:
    tree: object = value
    for part in reversed(name.split(".")):
        tree = {part: tree}
    problems = refusal(yaml.safe_dump(tree))
    assert problems != ()
    assert all(problem.field.startswith((name, "config")) for problem in problems or ())


def test_what_was_meant_is_only_guessed_for_the_first_of_many_unknown_keys() -> None:
    """A guess takes milliseconds, and the operator does nothing else meanwhile."""
    found = problems_of("\n".join(f"MISC.SEED{number}: 1" for number in range(100)))
    guesses = ["did you mean" in message for message in found.values()]
    assert guesses == [True] * 20 + [False] * 80
